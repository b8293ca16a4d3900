//! The program `plimsoll`: see `plimsoll --help`.

fn main() -> plimsoll::cli::Exit {
    plimsoll::cli::main()
}

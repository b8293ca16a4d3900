//! The program `plimsoll`: see `plimsoll --help`.

use plimsoll::base::large_pages::LargePages;

#[global_allocator]
static MEMORY: LargePages = LargePages;

fn main() -> plimsoll::cli::Exit {
    plimsoll::cli::main()
}

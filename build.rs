//! Takes the shipped scenario files into the program, so that `plimsoll list scenarios` and the tests know them
//! wherever the program runs. A plain build needs nothing but the compiler.

use std::fmt::Write;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=scenarios");
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let mut files = Vec::new();
    find(&root.join("scenarios"), &mut files);
    files.sort();
    let mut rows = String::from("&[\n");
    for file in &files {
        let name =
            file.strip_prefix(root.join("scenarios")).expect("it was found there").to_string_lossy().replace('\\', "/");
        writeln!(rows, "    ({name:?}, include_str!({:?})),", file.display().to_string()).expect("a string can grow");
    }
    rows.push(']');
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it")).join("scenarios.rs");
    std::fs::write(out, rows).expect("the output folder can be written");
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) {
    println!("cargo:rerun-if-changed={}", folder.display());
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            find(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "toml") {
            files.push(path);
        }
    }
}

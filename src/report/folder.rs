//! The report folder `DIR/<scenario>/`: `summary.csv`, `series.csv`, `backends.csv`, `run.json`, `index.html` and
//! `charts/*.svg`.
//!
//! It is written beside and renamed into place: whoever is interrupted leaves the old folder or a whole new one.
//! A folder cannot be renamed over another, so the old one steps aside first; if the process dies between the
//! two renames, the next writer puts it back before doing anything else. What dead writers left is removed.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::{Page, chart, csv, html};

/// Writes the folder and says where it is.
///
/// `scenario` becomes the name of the folder and must be a plain name, as scenario files require.
pub fn write(dir: &Path, scenario: &str, page: &Page<'_>, run_json: &str) -> io::Result<PathBuf> {
    if !is_plain(scenario) {
        return Err(io::Error::new(ErrorKind::InvalidInput, format!("`{scenario:?}` cannot be the name of a folder")));
    }
    fs::create_dir_all(dir)?;
    let target = dir.join(scenario);
    let aside = dir.join(format!(".{scenario}.old"));
    restore(&target, &aside)?;
    sweep(dir, scenario)?;
    let fresh = dir.join(format!("{}{}", new_prefix(scenario), std::process::id()));
    let filled = fill(&fresh, page, run_json).and_then(|()| swap(&fresh, &target, &aside));
    if filled.is_err() {
        // The first error is the one to report; what is left is swept by the next writer.
        let _ = fs::remove_dir_all(&fresh);
    }
    filled.map(|()| target)
}

/// The name of a scenario, perhaps with a sweep's point behind it. Never a path, never hidden.
fn is_plain(name: &str) -> bool {
    let inside = |c: char| !c.is_control() && !matches!(c, '/' | '\\' | ':');
    name.len() <= 200 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(inside)
}

fn new_prefix(scenario: &str) -> String {
    format!(".{scenario}.new.")
}

fn fill(fresh: &Path, page: &Page<'_>, run_json: &str) -> io::Result<()> {
    let charts = chart::all(page);
    fs::create_dir_all(fresh.join("charts"))?;
    put(&fresh.join("summary.csv"), &csv::summary_csv(page.study))?;
    put(&fresh.join("series.csv"), &csv::series_csv(page.study))?;
    put(&fresh.join("backends.csv"), &csv::backends_csv(page.study))?;
    put(&fresh.join("run.json"), run_json.as_bytes())?;
    put(&fresh.join("index.html"), html::with_charts(page, &charts).as_bytes())?;
    for chart in &charts {
        put(&fresh.join("charts").join(format!("{}.svg", chart.name)), chart.standalone().as_bytes())?;
    }
    Ok(())
}

/// Writes all bytes, or says why not: dropping a file would keep that for itself.
fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let with_path = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let mut file = fs::File::create(path).map_err(with_path)?;
    file.write_all(bytes).and_then(|()| file.flush()).map_err(with_path)
}

fn swap(fresh: &Path, target: &Path, aside: &Path) -> io::Result<()> {
    let had_old = target.exists();
    if had_old {
        fs::rename(target, aside)?;
    }
    if let Err(error) = fs::rename(fresh, target) {
        if had_old {
            fs::rename(aside, target)?;
        }
        return Err(error);
    }
    remove(aside)
}

/// If a writer died between its two renames, the old folder stands aside and nothing stands in its place.
fn restore(target: &Path, aside: &Path) -> io::Result<()> {
    match (aside.exists(), target.exists()) {
        (true, false) => fs::rename(aside, target),
        (true, true) => remove(aside),
        _ => Ok(()),
    }
}

/// Removes what writers of this scenario left behind that are not alive any more.
fn sweep(dir: &Path, scenario: &str) -> io::Result<()> {
    let prefix = new_prefix(scenario);
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(writer) = name.to_str().and_then(|name| name.strip_prefix(&prefix)) else { continue };
        let mine = writer == std::process::id().to_string();
        if mine || !is_alive(writer) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Whether a process of this id runs. Where that cannot be known, it is taken to run, and nothing is removed.
fn is_alive(process: &str) -> bool {
    let all = Path::new("/proc");
    let is_id = !process.is_empty() && process.bytes().all(|b| b.is_ascii_digit());
    is_id && (!all.join("self").exists() || all.join(process).exists())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    /// Relative path and content of all files below a folder.
    fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut out = Vec::new();
        let mut open = vec![folder.to_path_buf()];
        while let Some(next) = open.pop() {
            for entry in fs::read_dir(next).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    out.push((
                        path.strip_prefix(folder).expect("below").to_path_buf(),
                        fs::read(&path).expect("readable"),
                    ));
                }
            }
        }
        out.sort();
        out
    }

    fn write_sample(dir: &Path, run_json: &str) -> io::Result<PathBuf> {
        let study = sample::study(3, 2, 6);
        let comparisons = sample::comparisons(&study);
        write(dir, "region-outage", &sample::page(&study, &comparisons, &sample::gates()), run_json)
    }

    #[test]
    fn holds_everything_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = write_sample(dir.path(), "{}").expect("written");
        let names: Vec<String> = files(&folder).iter().map(|(path, _)| path.display().to_string()).collect();
        let charts = chart::catalog::CHARTS.iter().map(|row| format!("charts/{}.svg", row.name));
        let rest = ["backends.csv", "index.html", "run.json", "series.csv", "summary.csv"].map(str::to_owned);
        let mut expected: Vec<String> = charts.chain(rest).collect();
        expected.sort();
        assert_eq!(names, expected);
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 1, "no scaffolding is left");
    }

    #[test]
    fn replaces_the_old_folder_as_a_whole_with_equal_bytes() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = write_sample(dir.path(), "{}").expect("written");
        let first = files(&folder);
        fs::write(folder.join("stale.txt"), "old").expect("written");
        assert_eq!(write_sample(dir.path(), "{}").expect("written again"), folder);
        assert_eq!(files(&folder), first);
    }

    #[test]
    fn recovers_from_dead_writers() {
        let dir = tempfile::tempdir().expect("a folder");
        // One died between the renames, another while it wrote; ids above the kernel's limit are never alive.
        for leftover in [".region-outage.old", ".region-outage.new.999999999", ".region-outage.new.x"] {
            fs::create_dir_all(dir.path().join(leftover).join("charts")).expect("made");
        }
        fs::create_dir(dir.path().join(".other.new.999999999")).expect("made");
        write_sample(dir.path(), "{}").expect("written");
        let mut names: Vec<String> = fs::read_dir(dir.path())
            .expect("readable")
            .map(|e| e.expect("entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(names, [".other.new.999999999", "region-outage"], "what belongs to others is left alone");
    }

    #[test]
    fn an_old_folder_is_put_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let (target, aside) = (dir.path().join("a"), dir.path().join(".a.old"));
        fs::create_dir(&aside).expect("made");
        fs::write(aside.join("run.json"), "old").expect("written");
        restore(&target, &aside).expect("restored");
        assert_eq!(fs::read(target.join("run.json")).expect("readable"), b"old");
        assert!(!aside.exists());
    }

    #[test]
    fn a_failure_leaves_the_old_folder() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = write_sample(dir.path(), "first").expect("written");
        let before = files(&folder);
        // A file stands where the new folder would be made.
        let in_the_way = dir.path().join(format!(".region-outage.new.{}", std::process::id()));
        fs::write(&in_the_way, "x").expect("written");
        assert!(write_sample(dir.path(), "second").is_err());
        assert_eq!(files(&folder), before);
    }

    #[test]
    fn names_that_are_paths_are_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let study = sample::study(1, 1, 3);
        for name in ["", "..", "../x", "a/b", ".hidden", "a\0b", "a\\b", "-x"] {
            let error = write(dir.path(), name, &sample::page(&study, &[], &[]), "{}").expect_err(name);
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 0);
    }
}

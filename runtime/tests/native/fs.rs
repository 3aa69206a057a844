//! Directories and small files.

use crate::run;
use millrace_runtime::fs;
use std::{io, path::PathBuf};

fn temporary() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    (dir, path)
}

#[test]
fn directories_are_made_listed_renamed_and_removed() {
    let (_dir, path) = temporary();
    run(move |_| {
        let path = path.clone();
        async move {
            fs::create_dir_all(&path.join("b/c")).await.unwrap();
            fs::write_atomically(&path.join("a"), b"contents").await.unwrap();
            let names = |entries: Vec<fs::DirEntry>| -> Vec<(String, bool)> {
                entries.into_iter().map(|entry| (entry.name, entry.is_dir)).collect()
            };
            let listed = names(fs::read_dir(&path).await.unwrap());
            assert_eq!(listed, [("a".to_owned(), false), ("b".to_owned(), true)]);
            fs::rename(&path.join("a"), &path.join("b/d")).await.unwrap();
            fs::sync_dir(&path).await.unwrap();
            assert!(!fs::exists(&path.join("a")).await.unwrap());
            assert_eq!(fs::read(&path.join("b/d")).await.unwrap(), "contents");
            fs::remove_file(&path.join("b/d")).await.unwrap();
            fs::remove_dir_all(&path.join("b")).await.unwrap();
            assert!(fs::read_dir(&path).await.unwrap().is_empty());
            let missing = fs::read(&path.join("a")).await.unwrap_err();
            assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        }
    });
}

#[test]
fn a_file_is_replaced_whole_and_leaves_nothing_beside_it() {
    let (_dir, path) = temporary();
    run(move |_| {
        let path = path.clone();
        async move {
            let file = path.join("f");
            for contents in [&b"one"[..], b"", b"three and more"] {
                fs::write_atomically(&file, contents).await.unwrap();
                assert_eq!(fs::read(&file).await.unwrap(), contents);
            }
            assert_eq!(fs::read_dir(&path).await.unwrap().len(), 1);
        }
    });
}

#[test]
fn a_lock_has_one_holder() {
    let (_dir, path) = temporary();
    run(move |_| {
        let path = path.clone();
        async move {
            let file = path.join("lock");
            let held = fs::lock(&file).await.unwrap();
            assert_eq!(held.path(), file);
            assert_eq!(fs::lock(&file).await.unwrap_err().kind(), io::ErrorKind::WouldBlock);
            drop(held);
            fs::lock(&file).await.unwrap();
        }
    });
}

#[test]
fn space_is_told() {
    let (_dir, path) = temporary();
    run(move |_| {
        let path = path.clone();
        async move {
            let space = fs::space(&path).await.unwrap();
            assert!(space.available > 0 && space.available <= space.total);
        }
    });
}

//! Directories and small files.

use crate::{run, run_in};
use millrace_runtime::{fs, spawn, timeout};
use std::{io::ErrorKind, path::Path, time::Duration};

#[test]
fn directories_are_made_listed_and_removed() {
    let root = tempfile::tempdir().unwrap();
    run_in(&root, async |root| {
        let deep = root.join("a/b/c");
        assert!(!fs::exists(&deep).await.unwrap());
        fs::create_dir_all(&deep).await.unwrap();
        fs::create_dir_all(&deep).await.unwrap();
        assert!(fs::exists(&deep).await.unwrap());
        for name in ["z", "m", "b"] {
            fs::write_atomically(&root.join("a").join(name), name.as_bytes()).await.unwrap_or_else(|error| {
                assert_eq!((name, error.kind()), ("b", ErrorKind::IsADirectory));
            });
        }
        let listed = fs::read_dir(&root.join("a")).await.unwrap();
        let listed: Vec<_> = listed.iter().map(|entry| (entry.name.as_str(), entry.is_dir)).collect();
        assert_eq!(listed, [("b", true), ("b.tmp", false), ("m", false), ("z", false)]);
        fs::rename(&root.join("a/z"), &root.join("a/m")).await.unwrap();
        assert_eq!(fs::read(&root.join("a/m")).await.unwrap(), "z");
        fs::sync_dir(&root.join("a")).await.unwrap();
        fs::remove_file(&root.join("a/m")).await.unwrap();
        assert_eq!(fs::remove_file(&root.join("a/m")).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(fs::read(&root.join("a/m")).await.unwrap_err().kind(), ErrorKind::NotFound);
        fs::remove_dir_all(&root.join("a")).await.unwrap();
        assert_eq!(fs::read_dir(&root.join("a")).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(fs::sync_dir(&root.join("a")).await.unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_small_file_is_replaced_whole() {
    let root = tempfile::tempdir().unwrap();
    run_in(&root, async |root| {
        let path = root.join("format");
        for n in 0..50usize {
            let contents = vec![n as u8; n * 100];
            fs::write_atomically(&path, &contents).await.unwrap();
            assert!(fs::read(&path).await.unwrap() == contents);
        }
        assert_eq!(
            fs::write_atomically(Path::new("/"), b"").await.unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    });
}

#[test]
fn a_lock_excludes_until_it_is_dropped() {
    let root = tempfile::tempdir().unwrap();
    run_in(&root, async |root| {
        let path = root.join("lock");
        let lock = fs::lock(&path).await.unwrap();
        assert_eq!(lock.path(), path);
        assert_eq!(fs::lock(&path).await.unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(lock);
        let holder = spawn({
            let path = path.clone();
            async move {
                // The other side tries in between.
                let _lock = loop {
                    if let Ok(lock) = fs::lock(&path).await {
                        break lock;
                    }
                };
                std::future::pending::<()>().await;
            }
        });
        while fs::lock(&path).await.is_ok() {}
        holder.cancel();
        holder.await;
        fs::lock(&path).await.unwrap();
    });
}

#[test]
fn space_is_told() {
    run(async |_| {
        let space = fs::space(Path::new("/tmp")).await.unwrap();
        assert!(space.available <= space.total && space.total > 0);
        assert_eq!(fs::space(Path::new("/nowhere")).await.unwrap_err().kind(), ErrorKind::NotFound);
    });
}

/// Calls go on when their futures are dropped, and the shard waits for them when it stops.
#[test]
fn many_calls_at_once_some_of_them_forgotten() {
    let root = tempfile::tempdir().unwrap();
    run_in(&root, async |root| {
        let calls: Vec<_> = (0..200)
            .map(|n| {
                let path = root.join(format!("{n}"));
                spawn(async move {
                    if n % 4 == 0 {
                        drop(timeout(Duration::ZERO, fs::create_dir_all(&path)).await);
                    } else {
                        fs::create_dir_all(&path).await.unwrap();
                    }
                })
            })
            .collect();
        for call in calls {
            call.await.expect("not cancelled");
        }
        for n in 200..220 {
            let path = root.join(format!("{n}"));
            spawn(async move { fs::create_dir_all(&path).await });
        }
        millrace_runtime::yield_now().await;
    });
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 220);
}

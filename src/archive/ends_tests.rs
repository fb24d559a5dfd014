//! Harm at the ends of the log, and objects that only repeat what others say.

use std::sync::Arc;

use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use super::{
    testing::{Heard, advance, all_files, expected_files, published, put},
    *,
};
use crate::{error::ErrorKind, layout, store::get};

/// What a reader finds, what it hears, and whether a writer then goes on: the outcome of one commit.
async fn look(store: &Arc<dyn ObjectStore>) -> (Result<Head>, Vec<&'static str>, Result<Head>) {
    let heard = Arc::<Heard>::default();
    let read = async {
        let archive = Archive::open(store.clone(), "memory").await?;
        let archive = archive.with_monitor(Arc::clone(&heard) as Arc<dyn Monitor>);
        let head = archive.head().await?;
        Ok((archive, head))
    };
    let (archive, head) = match read.await {
        Ok(read) => read,
        Err(error) => return (Err(error), Vec::new(), Err(Error::corrupt("nothing was read"))),
    };
    let version = head.version() + 1;
    let said = heard.0.lock().unwrap().clone();
    let written = match archive.check_writable(&head).await {
        Ok(()) => advance(&archive, head.clone(), &mut Run::begin(), version).await,
        Err(error) => Err(error),
    };
    (Ok(head), said, written)
}

async fn names(store: &Arc<dyn ObjectStore>) -> Vec<String> {
    let mut names: Vec<_> = futures::TryStreamExt::try_collect::<Vec<_>>(store.list(None)).await.unwrap();
    names.sort_by(|a, b| a.location.cmp(&b.location));
    names.into_iter().map(|object| object.location.to_string()).collect()
}

#[tokio::test]
async fn a_newest_commit_that_is_not_as_it_was_written_is_never_sealed() {
    let (store, head) = published(23).await;
    let path = layout::commit(23);
    let good = get(&store, &path).await.unwrap().unwrap();
    let before = names(&store).await;
    let mut passed = 0;
    for at in 0..good.len() {
        let mut harmed = good.to_vec();
        harmed[at] ^= 1;
        put(&store, &path, harmed).await;
        let (read, said, written) = look(&store).await;
        assert_eq!(written.unwrap_err().kind(), ErrorKind::Corrupt, "byte {at}");
        match read {
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported), "byte {at}: {error}");
            }
            Ok(read) => {
                assert_eq!(said, ["end_altered"], "byte {at}");
                let archive = Archive::open(store.clone(), "memory").await.unwrap();
                assert_eq!(all_files(&archive, &read).await.unwrap(), expected_files(23), "byte {at}");
                passed += 1;
            }
        }
    }
    assert!(passed > 20, "many bytes are of what only the next commit binds: {passed}");
    assert_eq!(names(&store).await, before, "nothing was written");
    put(&store, &path, good).await;
    let (read, said, written) = look(&store).await;
    assert_eq!((read.unwrap(), said.len(), written.unwrap().version()), (head, 0, 24));
}

#[tokio::test]
async fn a_digest_that_was_altered_in_the_manifest_is_the_manifests_own_harm() {
    let (store, head) = published(23).await;
    let good = String::from_utf8(get(&store, layout::MANIFEST).await.unwrap().unwrap().to_vec()).unwrap();
    let other = |digit: &str| if digit == "0" { "1" } else { "0" };
    let mut digest = head.digest().to_owned();
    let changed = other(&digest[7..8]).to_owned();
    digest.replace_range(7..8, &changed);
    let of_another = good.replace("\"archive\":\"", "\"archive\":\"f");
    for (what, text) in [
        ("a digit", good.replace(head.digest(), &digest)),
        ("belongs to another archive", of_another.replace(head.digest(), &"0".repeat(64))),
    ] {
        assert_ne!(text, good);
        put(&store, layout::MANIFEST, text).await;
        let (read, said, _) = look(&store.clone()).await;
        assert_eq!(read.unwrap().version(), head.version(), "{what}");
        assert_eq!(said, ["manifest_damaged"], "{what}");
        // The commit that `look` made.
        store.delete(&Path::from(layout::commit(head.version() + 1))).await.unwrap();
    }
}

#[tokio::test]
async fn a_header_that_is_not_as_it_was_written_is_told_and_nothing_is_written_whatever_readers_begin_with() {
    for version in [1, 2, 70] {
        let (store, _) = published(version).await;
        let good = get(&store, layout::HEADER).await.unwrap().unwrap();
        let altered = String::from_utf8(good.to_vec()).unwrap().replace("convex-archiver/", "convex-archiver?");
        put(&store, layout::HEADER, altered).await;
        for manifest in [true, false] {
            if !manifest {
                store.delete(&Path::from(layout::MANIFEST)).await.unwrap();
            }
            let before = names(&store).await;
            let (read, said, written) = look(&store).await;
            if manifest || version > layout::CHECKPOINT_EVERY {
                assert_eq!((read.unwrap().version(), said), (version, vec!["end_altered"]), "{version}");
            } else {
                assert_eq!(read.unwrap_err().kind(), ErrorKind::Corrupt, "commit 1 does not follow on it: {version}");
            }
            assert_eq!(written.unwrap_err().kind(), ErrorKind::Corrupt, "{version}");
            assert_eq!(names(&store).await, before);
        }
    }
}

#[tokio::test]
async fn an_empty_object_behind_the_newest_commit_is_passed_by_readers_and_stops_writers_until_it_is_gone() {
    let (store, head) = published(23).await;
    put(&store, &layout::commit(24), "").await;
    for manifest in [true, false] {
        if !manifest {
            store.delete(&Path::from(layout::MANIFEST)).await.unwrap();
        }
        let (read, said, written) = look(&store).await;
        assert_eq!((read.unwrap(), said), (head.clone(), vec!["end_altered"]));
        let error = written.unwrap_err();
        assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("delete it"), "{error}");
    }
    put(&store, &layout::commit(25), "anything").await;
    assert_eq!(
        look(&store).await.0.unwrap_err().kind(),
        ErrorKind::Corrupt,
        "with another behind it, it is a lost commit"
    );
    store.delete(&Path::from(layout::commit(25))).await.unwrap();
    store.delete(&Path::from(layout::commit(24))).await.unwrap();
    assert_eq!(look(&store).await.2.unwrap().version(), 24);
}

#[tokio::test]
async fn a_number_far_behind_the_log_is_told_and_passed_and_a_near_one_is_a_lost_commit() {
    let (store, head) = published(70).await;
    store.delete(&Path::from(layout::MANIFEST)).await.unwrap();
    for stray in [layout::commit(99_999), layout::commit(u64::MAX), layout::checkpoint(64 * 1_000_000)] {
        put(&store, &stray, "anything").await;
        let heard = Arc::<Heard>::default();
        let archive = Archive::open(store.clone(), "memory").await.unwrap();
        let archive = archive.with_monitor(Arc::clone(&heard) as Arc<dyn Monitor>);
        assert_eq!(archive.head().await.unwrap(), head, "{stray}");
        assert!(heard.0.lock().unwrap().contains(&"stray_object"), "{stray}: {heard:?}", heard = heard.0);
        archive.check_writable(&head).await.unwrap();
        store.delete(&Path::from(stray)).await.unwrap();
    }
    put(&store, &layout::commit(72), "anything").await;
    assert_eq!(look(&store).await.0.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn a_damaged_checkpoint_is_written_again_by_the_next_commit_whether_somebody_had_to_read_it_or_not() {
    let (store, _) = published(130).await;
    let path = layout::checkpoint(128);
    let good = get(&store, &path).await.unwrap().unwrap();
    put(&store, &path, good.slice(..good.len() / 2)).await;
    let (_, said, written) = look(&store).await;
    assert_eq!((said.len(), written.unwrap().version()), (0, 131), "manifest.json is enough for readers");
    assert_eq!(get(&store, &path).await.unwrap().unwrap(), good);

    store.delete(&Path::from(layout::MANIFEST)).await.unwrap();
    for bad in [good.slice(..good.len() / 2), good.slice(..0), checkpoint::pack(b"{}").unwrap().into()] {
        put(&store, &path, bad).await;
        let (read, said, written) = look(&store).await;
        assert_eq!(read.unwrap().version() + 1, written.unwrap().version());
        assert_eq!(said, ["checkpoint_damaged"]);
        assert_eq!(get(&store, &path).await.unwrap().unwrap(), good);
    }
}

#[tokio::test]
async fn an_object_larger_than_any_of_ours_is_refused_unread() {
    let (store, _) = published(3).await;
    put(&store, layout::MANIFEST, vec![0; (256 << 20) + 1]).await;
    let (read, said, written) = look(&store).await;
    assert_eq!((read.unwrap().version(), said, written.unwrap().version()), (3, vec!["manifest_unreadable"], 4));
}

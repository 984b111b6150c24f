//! The registry: the next start ends what a killed host left running, and nothing else.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Child, Command},
};

use cas_sdk::{Error, error::SpawnError};
use serde_json::{Value, json};

use crate::{
    common::{is_alive, within},
    fake::Fake,
    hosts::Host,
};

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_server_is_on_record_for_its_owner_alone_while_it_runs() {
    within(60, async {
        let fake = Fake::new();
        let dir = fake.file("new/registry");
        let client = fake.builder("").registry(&dir).spawn().await.unwrap();
        assert_eq!(mode(&dir), 0o700);
        let [record] = &files(&dir)[..] else {
            panic!("{:?}", files(&dir))
        };
        assert_eq!(mode(record), 0o600);
        let record: Value = serde_json::from_str(&fs::read_to_string(record).unwrap()).unwrap();
        assert_eq!(record["child"]["pid"], client.pid().unwrap());
        assert_eq!(record["host"]["pid"], std::process::id());
        client.shutdown().await;
        assert!(files(&dir).is_empty());

        let client = fake.builder("").registry(&dir).spawn().await.unwrap();
        drop(client);
        crate::common::eventually("the record is gone", || files(&dir).is_empty()).await;
        let start = fake.builder("exit 3").registry(&dir).spawn().await;
        assert!(start.is_err() && files(&dir).is_empty());
    })
    .await;
}

#[tokio::test]
async fn the_server_of_a_killed_host_is_ended_by_the_next_start() {
    within(60, async {
        // The server hangs, so the end of its input does not end it, and it has children.
        for mode in ["deaf", "stubborn"] {
            let (fake, next) = (Fake::new(), Fake::new());
            let dir = fake.file("registry");
            let mut host = Host::of(&fake, mode, |command| {
                command.env("HOST_REGISTRY", &dir);
                command.env("HOST_CHILDREN", "plain setsid stranger daemon");
            });
            host.kill();
            assert_eq!(fake.left().len(), 5, "all of it is still there");
            let client = next.builder("").registry(&dir).spawn().await.unwrap();
            assert_eq!(fake.left(), [0; 0]);
            assert_eq!(files(&dir).len(), 1, "of the new one");
            client.shutdown().await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_processes_of_a_server_are_ended_though_the_server_itself_is_gone() {
    within(60, async {
        let (fake, next) = (Fake::new(), Fake::new());
        let dir = fake.file("registry");
        let mut host = Host::of(&fake, "", |command| {
            command.env("HOST_REGISTRY", &dir);
            command.env("HOST_CHILDREN", "plain setsid daemon");
        });
        let server = host.server;
        host.kill();
        crate::common::eventually("the server is gone", || !is_alive(server)).await;
        assert_eq!(fake.left().len(), 3);
        let client = next.builder("").registry(&dir).spawn().await.unwrap();
        assert_eq!(fake.left(), [0; 0]);
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn the_servers_of_hosts_that_live_are_left_alone() {
    within(60, async {
        let fake = Fake::new();
        let dir = fake.file("registry");
        let host = Host::of(&fake, "", |command| {
            command.env("HOST_REGISTRY", &dir);
        });
        let mine = fake.builder("").registry(&dir).spawn().await.unwrap();
        let another = fake.builder("").registry(&dir).spawn().await.unwrap();
        assert_eq!(files(&dir).len(), 3);
        assert!(is_alive(host.server) && is_alive(mine.pid().unwrap()));
        mine.shutdown().await;
        another.shutdown().await;
        assert_eq!(files(&dir).len(), 1);
        assert!(is_alive(host.server));
    })
    .await;
}

/// An unrelated process.
struct Bystander(Child);

impl Bystander {
    fn new() -> Self {
        Self(Command::new("sleep").arg("300").spawn().unwrap())
    }

    fn start_time(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let (_, rest) = stat.rsplit_once(')').unwrap();
        rest.split_whitespace().nth(19).unwrap().parse().unwrap()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_process_id_that_was_reused_is_not_killed() {
    within(60, async {
        let fake = Fake::new();
        let dir = fake.file("registry");
        let client = fake.builder("").registry(&dir).spawn().await.unwrap();
        let text = fs::read_to_string(&files(&dir)[0]).unwrap();
        client.shutdown().await;
        let mut record: Value = serde_json::from_str(&text).unwrap();
        let mut bystander = Bystander::new();
        let (pid, start) = (bystander.0.id(), bystander.start_time());
        // The host is dead: this process has another start time.
        record["host"]["start"] = json!(1);
        let other = |key: &str, value: Value| {
            let mut record = record.clone();
            record["child"] = json!({"pid": pid, "start": start});
            match key.split_once('.') {
                Some((outer, inner)) => record[outer][inner] = value,
                None => record[key] = value,
            }
            record
        };
        let not_it = [
            ("child.start", json!(start + 1)),
            ("child.start", json!(start - 1)),
            ("boot", json!("another start of the machine")),
            ("namespace", json!("pid:[1]")),
            ("version", json!(99)),
        ];
        for (n, (key, value)) in not_it.into_iter().enumerate() {
            let record = other(key, value);
            fs::write(dir.join(format!("app-server-{n}.json")), record.to_string()).unwrap();
        }
        let client = fake.builder("").registry(&dir).spawn().await.unwrap();
        assert!(
            bystander.0.try_wait().unwrap().is_none(),
            "it was not meant"
        );
        client.shutdown().await;

        // A correct record is acted on, so the refusals above had no other reason.
        let record = other("version", record["version"].clone());
        fs::write(dir.join("app-server-9.json"), record.to_string()).unwrap();
        let client = fake.builder("").registry(&dir).spawn().await.unwrap();
        assert!(bystander.0.try_wait().unwrap().is_some());
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_foreign_or_torn_record_is_left_where_it_is() {
    within(60, async {
        let fake = Fake::new();
        let dir = fake.file("registry");
        let client = fake.builder("").registry(&dir).spawn().await.unwrap();
        let whole = fs::read(&files(&dir)[0]).unwrap();
        client.shutdown().await;
        let write = |name: &str, bytes: &[u8]| fs::write(dir.join(name), bytes).unwrap();
        write("notes.txt", b"mine");
        write("app-server-1-1.json", &whole[..whole.len() / 2]);
        write("app-server-1-2.json", b"");
        write("app-server-1-3.json", b"\xff\xfe[]");
        write("app-server-1-4.json", &b"[".repeat(100_000));
        write(".not-a-number-0.tmp", b"");
        fs::create_dir(dir.join("app-server-1-5.json")).unwrap();
        symlink("/dev/zero", dir.join("app-server-1-6.json")).unwrap();
        let fifo = dir.join("app-server-1-7.json");
        assert!(
            Command::new("mkfifo")
                .arg(&fifo)
                .status()
                .unwrap()
                .success()
        );
        let before = files(&dir);
        // Only a truncated record of a dead writer is removed.
        write(".1-1-0.tmp", &whole[..10]);
        let client = fake.builder("").registry(&dir).spawn().await.unwrap();
        client.shutdown().await;
        assert_eq!(files(&dir), before);
    })
    .await;
}

#[tokio::test]
async fn a_registry_that_cannot_be_used_is_an_error_and_nothing_is_left_running() {
    within(60, async {
        let fake = Fake::new();
        let dir = fake.file("registry");
        fs::write(&dir, "a file").unwrap();
        let error = fake.builder("").registry(&dir).spawn().await.unwrap_err();
        let Error::Spawn(SpawnError::Registry { dir: named, .. }) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(named, &dir);
        fake.nothing_is_left().await;
        // Two programs may share the registry.
        let dir = fake.file("shared");
        let (a, b) = tokio::join!(
            Box::pin(fake.builder("").registry(&dir).spawn()),
            Box::pin(fake.builder("").registry(&dir).spawn())
        );
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!(files(&dir).len(), 2);
        a.shutdown().await;
        b.shutdown().await;
        assert!(files(&dir).is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_directory_where_others_may_put_records_is_refused_and_nothing_is_started() {
    within(60, async {
        let fake = Fake::new();
        let dir = fake.file("registry");
        fs::create_dir(&dir).unwrap();
        let refused = async |dir: &Path, why: &str| {
            let error = fake.builder("").registry(dir).spawn().await.unwrap_err();
            let Error::Spawn(SpawnError::Registry { source, .. }) = &error else {
                panic!("{error:?}")
            };
            assert!(source.to_string().contains(why), "{source}");
        };
        for mode in [0o770, 0o702, 0o777, 0o1777] {
            fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
            refused(&dir, "others may write").await;
        }
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        let link = fake.file("link");
        symlink(&dir, &link).unwrap();
        refused(&link, "is a link").await;
        fake.nothing_is_left().await;
        let client = fake.builder("").registry(&dir).spawn().await.unwrap();
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_record_that_others_may_write_or_that_is_a_link_to_one_ends_nothing() {
    within(60, async {
        let fake = Fake::new();
        let dir = fake.file("registry");
        let client = fake.builder("").registry(&dir).spawn().await.unwrap();
        let text = fs::read_to_string(&files(&dir)[0]).unwrap();
        client.shutdown().await;
        let mut bystander = Bystander::new();
        let mut record: Value = serde_json::from_str(&text).unwrap();
        record["host"]["start"] = json!(1);
        record["child"] = json!({"pid": bystander.0.id(), "start": bystander.start_time()});
        let elsewhere = fake.file("elsewhere.json");
        fs::write(&elsewhere, record.to_string()).unwrap();
        symlink(&elsewhere, dir.join("app-server-1-1.json")).unwrap();
        let open = dir.join("app-server-1-2.json");
        fs::write(&open, record.to_string()).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o666)).unwrap();
        let client = fake.builder("").registry(&dir).spawn().await.unwrap();
        assert!(
            bystander.0.try_wait().unwrap().is_none(),
            "it was not meant"
        );
        client.shutdown().await;
        // The same record is acted on when it is this user's own.
        fs::set_permissions(&open, fs::Permissions::from_mode(0o600)).unwrap();
        let client = fake.builder("").registry(&dir).spawn().await.unwrap();
        assert!(bystander.0.try_wait().unwrap().is_some());
        client.shutdown().await;
    })
    .await;
}

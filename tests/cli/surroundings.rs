//! What the machine around the program lacks, or has in a way that must not be used.

use std::{io::ErrorKind, net::TcpListener, os::unix::fs::symlink, process::Command};

use crate::support::{KEY, Simulation, archiver, run};

#[test]
fn without_certificates_of_authorities_https_says_what_to_install() {
    let dir = tempfile::tempdir().unwrap();
    let without = |command: &mut Command| {
        let none = dir.path().join("none");
        run(command.env("SSL_CERT_FILE", &none).env("SSL_CERT_DIR", &none).env("CONVEX_DEPLOY_KEY", KEY)).with(2)
    };
    let url = "https://127.0.0.1:1";
    let deployment = without(archiver(["sync", "--deployment", url, "--archive"]).arg(dir.path().join("a")));
    let mut store = archiver(["status", "--archive", "s3://lake/a"]);
    store.env("AWS_ACCESS_KEY_ID", "a").env("AWS_SECRET_ACCESS_KEY", "b").env("AWS_REGION", "eu-north-1");
    let store = without(store.env("AWS_ENDPOINT", url));
    for ended in [deployment, store] {
        assert!(ended.stderr.contains("`ca-certificates`") && ended.stderr.contains("SSL_CERT_FILE"), "{ended:?}");
    }
}

#[test]
fn a_key_file_that_is_a_pipe_or_a_device_is_refused_and_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let link = dir.path().join("link");
    symlink(&pipe, &link).unwrap();
    for file in [pipe.as_path(), link.as_path(), "/dev/zero".as_ref(), dir.path()] {
        let mut sync = archiver(["sync", "--deployment", "http://127.0.0.1:1", "--archive", "/nowhere/a"]);
        let ended = run(sync.arg("--deploy-key-file").arg(file)).with(2);
        assert!(ended.stderr.contains("it is not a regular file"), "{}: {ended:?}", file.display());
    }
    // A link to a file is one, as secrets are mounted.
    let (simulation, key) = (Simulation::start(["--generate", "5"]), dir.path().join("key"));
    std::fs::write(dir.path().join("secret"), KEY).unwrap();
    symlink(dir.path().join("secret"), &key).unwrap();
    let mut sync = archiver(["sync", "--deployment", &simulation.url]);
    run(sync.arg("--deploy-key-file").arg(&key).arg("--archive").arg(dir.path().join("a"))).with(0);
}

#[test]
fn a_machine_whose_role_is_not_to_be_asked_for_is_not_asked() {
    let dir = tempfile::tempdir().unwrap();
    let metadata = TcpListener::bind("127.0.0.1:0").unwrap();
    metadata.set_nonblocking(true).unwrap();
    let mut status = archiver(["status", "--archive", "s3://lake/a"]);
    status.env("HOME", dir.path()).env("AWS_REGION", "eu-north-1");
    status.env("AWS_METADATA_ENDPOINT", format!("http://{}", metadata.local_addr().unwrap()));
    let ended = run(status.env("AWS_EC2_METADATA_DISABLED", "true")).with(2);
    assert!(ended.stderr.contains("no credentials for S3"), "{ended:?}");
    assert_eq!(metadata.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_wrong_key_and_a_key_of_another_deployment_end_alike() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "5"]);
    for (url, key) in [
        (simulation.url.as_str(), "otter-1|ffffeeeeddddcccc"),
        (&simulation.url, "badger-2|a1b2c3d4e5f6"),
        ("https://happy-otter-123.convex.cloud", "prod:other-1|secret"),
    ] {
        let mut sync = archiver(["sync", "--deployment", url, "--archive"]);
        run(sync.arg(&archive).env("CONVEX_DEPLOY_KEY", key)).with(2);
    }
    assert!(!archive.exists());
}

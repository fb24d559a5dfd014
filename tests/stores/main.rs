//! An archive on real stores: one suite, on a local disk and on S3 (moto, started by the tests), through URLs and
//! environment variables as a user names them; and what is said where a store cannot be used.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stdout, reason = "shown where a test fails, or is asked to talk")]

mod place;
mod refusals;
mod suite;
#[allow(dead_code, reason = "every test program uses its own part of the tools")]
#[path = "../tools/mod.rs"]
mod tools;

macro_rules! on_each_store {
    ($($story:ident),* $(,)?) => {
        mod on_a_local_disk {
            use crate::{place::Place, suite, tools::process::block_on};
            $(#[test]
            fn $story() {
                block_on(async { suite::$story(Place::on_disk()).await });
            })*
        }
        mod on_s3 {
            use crate::{place::Place, suite, tools::{moto::Moto, process::{apart, test_name}}};
            $(#[test]
            fn $story() {
                let mut moto = None;
                let settings = || moto.insert(Moto::start()).settings();
                apart(test_name!($story), settings, async { suite::$story(Place::on_s3().await).await });
            })*
        }
    };
}

on_each_store! {
    documents_and_their_changes_arrive_whole_and_below_the_prefix,
    an_archive_can_be_the_whole_bucket_or_folder,
    a_stopped_run_is_gone_on_with,
    two_syncs_at_once_make_one_history,
    ten_syncs_at_once_create_one_archive_and_one_history,
    large_files_arrive_in_parts,
    a_failed_run_leaves_no_upload_open,
    tables_that_differ_by_case_or_are_devices_keep_apart,
    an_archive_is_not_created_below_a_partition_key,
    the_archive_of_another_deployment_is_left_alone,
}

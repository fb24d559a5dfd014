//! An archive on every kind of store: one suite, on a local disk, on S3 (moto), on Azure Blob Storage (Azurite) and on a
//! fake of Google Cloud Storage, each started by the tests, through URLs and environment variables as a user names them;
//! what happens where a store is troubled; and what is said where one cannot be used. A store that does not start fails
//! its tests.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stdout, reason = "shown where a test fails, or is asked to talk")]
#![allow(clippy::disallowed_methods, reason = "tests are told by the environment how much to do, and start processes")]

mod checks;
mod copies;
mod disk;
mod place;
mod readings;
mod refusals;
mod suite;
#[allow(dead_code, reason = "every test program uses its own part of the tools")]
#[path = "../tools/mod.rs"]
mod tools;
mod troubles;

/// Tests that tell stories on stores, each in a process of its own; in front, another attribute of the tests.
macro_rules! told {
    (@one [$($attribute:meta)?] $stores:expr, $way:ident, $stories:ident, $story:ident) => {
        #[test]
        $(#[$attribute])?
        fn $story() {
            let test = crate::tools::process::test_name!($story);
            crate::place::tell(&$stores, crate::place::Way::$way, test, |place| Box::pin(crate::$stories::$story(place)));
        }
    };
    ($attribute:tt $stores:expr, $way:ident, $stories:ident: $($story:ident),* $(,)?) => {
        $(told! { @one $attribute $stores, $way, $stories, $story })*
    };
}

macro_rules! on_each_store {
    ($($attribute:tt $module:ident $store:ident),* $(,)?) => { $(
        mod $module {
            use crate::place::Store;
            told! { $attribute [Store::$store], Straight, suite:
                documents_and_their_changes_arrive_whole_and_below_the_prefix,
                an_archive_can_be_the_whole_bucket_or_folder,
                a_stopped_run_is_gone_on_with,
                two_syncs_at_once_make_one_history,
                ten_syncs_at_once_create_one_archive_and_one_history,
                a_log_of_2500_commits_is_opened_and_gone_on_with,
                large_files_arrive_in_parts,
                a_failed_run_leaves_no_upload_open,
                tables_that_differ_by_case_or_are_devices_keep_apart,
                an_archive_is_not_created_below_a_partition_key,
                the_archive_of_another_deployment_is_left_alone,
            }
            told! { $attribute [Store::$store], Straight, readings:
                what_is_archived_is_read_back_restored_exported_and_served,
                a_restore_is_one_object_whole_or_not_at_all,
            }
            told! { $attribute [Store::$store], Straight, checks:
                what_a_store_takes_is_told_and_no_probe_is_left,
            }
            told! { $attribute [Store::$store], Straight, copies:
                copies_to_a_folder_back_and_to_another_prefix_are_the_archive_and_go_on,
            }
            told! { $attribute [Store::$store], Troubled, troubles:
                a_permission_lost_in_the_middle_is_an_access_error_and_the_next_run_heals,
                a_read_only_place_is_an_access_error_and_stays_as_it_is,
            }
        }
    )* };
}

on_each_store! {
    [] on_a_local_disk Disk,
    [] on_s3_served_by_moto S3,
    [] on_azure_served_by_azurite Azure,
    [] on_a_fake_of_gcs GcsFake,
    [ignore = "needs ANOTHER_S3, the URL of an S3 server"] on_another_s3_server AnotherS3,
}

/// What can go wrong on a network: mostly waiting, so on all stores at once.
mod over_http_to_moto_azurite_and_a_fake_of_gcs {
    use crate::place::Store;
    told! { [] [Store::S3, Store::Azure, Store::GcsFake], Troubled, troubles:
        a_lost_answer_to_a_put_is_no_lost_commit,
        a_lost_answer_to_the_last_part_is_no_lost_file,
        a_store_that_says_409_for_a_moment_is_asked_again,
        a_store_that_says_409_to_a_part_is_asked_again,
        a_store_that_goes_on_saying_409_is_unavailable_and_the_next_run_heals,
        what_exists_after_a_lost_answer_is_known_as_our_own,
        a_slow_and_busy_store_is_waited_for,
        a_store_that_stays_busy_is_unavailable_and_the_next_run_heals,
        a_network_that_breaks_in_the_middle_is_unavailable_and_the_next_run_heals,
    }
}

//! The rules of the format, each with a switch: a rule without which no history breaks would not be needed, or not be tried.

macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Which rules are kept.
        #[derive(Debug, Clone, Copy)]
        #[allow(clippy::struct_excessive_bools, reason = "one switch for each rule")]
        pub(crate) struct Rules { $($(#[doc = $doc])+ pub(crate) $name: bool,)+ }

        impl Rules {
            /// The format as it is.
            pub(crate) const ALL: Self = Self { $($name: true,)+ };

            /// Each rule by its name, with all the others kept.
            pub(crate) fn without_each() -> Vec<(&'static str, Self)> {
                vec![$((stringify!($name), Self { $name: false, ..Self::ALL }),)+]
            }
        }
    };
}

rules! {
    // What serves a moment.
    /// No base that ranks below a cut serves a moment at or beyond it.
    cuts_end_older_bases,
    /// Also after the base of the cut is withdrawn.
    cuts_outlive_their_bases,
    /// Of two bases with one S that of the later commit counts.
    later_of_one_moment_counts,
    /// What lies in a gap after a base is not covered.
    gaps_end_coverage,
    /// A table that is not selected has a gap.
    unselected_is_a_gap,

    // What the writer of data does.
    /// A base that the deployment told is compared with what the archive holds at its S; one that differs is a cut.
    differing_bases_are_cuts,
    /// What a correction corrects is in doubt from the last proven moment on.
    corrections_say_doubt,
    /// A dropped table begins anew with a cut.
    drops_are_cuts,
    /// A cursor that jumps leaves a gap.
    jumps_leave_gaps,
    /// Who commits a base at an S inside live delta files cuts them.
    bases_cut_files,
    /// A walk that ends takes the files of unfinished tables with it.
    walks_take_their_files,
    /// Pages of a walk leave out what was erased since it began.
    walks_leave_out_erased_rows,
    /// What a run brought lies outside of any group.
    new_rows_stay_out_of_groups,
    /// Before a walk opens, deltas are read up to its S.
    no_base_lies_beyond_the_cursor,
    /// A delta file lies in one month.
    files_end_with_their_month,

    // What maintenance does.
    /// A compaction leaves no file across an S that it knows.
    compaction_minds_moments,
    /// A compaction joins rows in the order of `_ts`.
    compaction_keeps_order,
    /// A compaction stays in its month.
    compaction_minds_months,
    /// An own base is superseded only if another base serves what it served.
    superseded_only_where_another_serves,
    /// Of a superseded base only the files that repeat others leave.
    only_repeats_are_superseded,
    /// What says `lost` unmarks the own bases of the table.
    losses_unmark,
    /// The new beginning after `forget` is a cut, so not marked as a repetition.
    forgetting_is_a_cut,
    /// Forgetting withdraws superseded bases once more.
    forgetting_takes_superseded_bases,
    /// Nothing is forgotten beyond the S of an open walk.
    forgetting_waits_for_walks,
    /// An erasure rewrites the files of walks and of superseded bases too.
    erasure_takes_every_file,
    /// No later base of the table has an S before what was erased.
    corrections_mind_erasures,
    /// A correction withdraws the archive's own bases at or beyond its S.
    corrections_withdraw_own_bases,

    // What a lost race does.
    /// Where progress moved, a data commit is a conflict.
    moved_progress_is_a_conflict,
    /// A group with a dead input is dropped.
    dead_inputs_drop_groups,
    /// A group whose output would lie across an S is dropped.
    new_moments_drop_groups,
    /// An own base is dropped if something was said of its table.
    own_bases_mind_what_was_said,
    /// An own base is dropped if its table's files were replaced, other than by compaction.
    own_bases_mind_replacements,
    /// An own base is dropped if a file now lies across its S.
    own_bases_mind_files_across,
    /// All other maintenance is planned anew.
    other_maintenance_is_planned_anew,
    /// A data commit that is rebased leaves out what was erased in between.
    rebased_walks_leave_out_erased_rows,
    /// A base that the deployment told, and that lands after a correction of what it was compared with, is a cut too.
    rebased_bases_mind_corrections,
    /// A correction that is rebased withdraws own bases again.
    rebased_corrections_withdraw_again,
}

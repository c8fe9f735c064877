//! Exit statuses (design, section 7).

use super::cli::AnswerArgs;
use crate::plan::{Report, Tense};

/// An exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exit(pub(super) u8);

/// All went well.
pub(super) const SUCCESS: Exit = Exit(0);
/// Something failed, or could not start.
pub(super) const FAILURE: u8 = 1;
/// `status` could not find out.
pub(super) const UNKNOWN: u8 = 3;

/// The exit status that tells what `report` says.
pub(super) fn of_report(report: &Report, tense: Tense, answer: AnswerArgs) -> Exit {
    Exit(match (answer.detailed_exitcode, tense, report.changed, report.failed) {
        (false, _, _, failed) => u8::from(failed),
        (true, Tense::Plan, _, true) => FAILURE,
        (true, Tense::Plan, changed, false) => {
            if changed {
                2
            } else {
                0
            }
        }
        (true, Tense::Done, false, false) => 0,
        (true, Tense::Done, true, false) => 2,
        (true, Tense::Done, false, true) => 4,
        (true, Tense::Done, true, true) => 6,
    })
}

#[cfg(test)]
mod tests {
    use super::{Exit, of_report};
    use crate::commands::cli::{AnswerArgs, Format};
    use crate::plan::{Report, Tense};

    fn exit(tense: Tense, detailed_exitcode: bool, changed: bool, failed: bool) -> u8 {
        let mut report = Report::new(None);
        (report.changed, report.failed) = (changed, failed);
        let Exit(code) = of_report(&report, tense, AnswerArgs { format: Format::Text, detailed_exitcode });
        code
    }

    #[test]
    fn without_details_only_a_failure_is_told() {
        for tense in [Tense::Plan, Tense::Done] {
            assert_eq!([exit(tense, false, false, false), exit(tense, false, true, false)], [0, 0]);
            assert_eq!([exit(tense, false, false, true), exit(tense, false, true, true)], [1, 1]);
        }
    }

    #[test]
    fn a_detailed_plan_tells_changes_apart() {
        assert_eq!([exit(Tense::Plan, true, false, false), exit(Tense::Plan, true, true, false)], [0, 2]);
        assert_eq!([exit(Tense::Plan, true, false, true), exit(Tense::Plan, true, true, true)], [1, 1]);
    }

    #[test]
    fn a_detailed_run_answers_as_puppet_does() {
        assert_eq!([exit(Tense::Done, true, false, false), exit(Tense::Done, true, true, false)], [0, 2]);
        assert_eq!([exit(Tense::Done, true, false, true), exit(Tense::Done, true, true, true)], [4, 6]);
    }
}

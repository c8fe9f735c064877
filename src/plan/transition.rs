//! How carrying out a plan changes what the state records: used by `apply` for real and by `plan` to tell which hooks follow.

use super::{ContentChange, InstallPlan, Outcome, Step};
use crate::spec::DesiredInstall;
use crate::state::{GenerationState, InstallState, Mark};

/// What must be on disk before anything at the `dest` is switched: the next generation, and no mark of a hook that
/// has not seen it.
pub fn begin(recorded: &mut InstallState, plan: &InstallPlan, install: &DesiredInstall) {
    recorded.layout = install.rest.layout;
    recorded.marks.retain(|hook, _| install.rest.hooks.contains(hook));
    let before = recorded.current.clone();
    if plan.spoiled {
        recorded.current = None;
    }
    if let Some(record) = &plan.record {
        replace_current(recorded, record.clone());
    }
    let adopted = plan.steps.iter().find_map(|step| match step {
        Step::Adopt { generation, .. } => Some(generation.as_ref()),
        _ => None,
    });
    if let Some(adopted) = adopted {
        recorded.current = Some(adopted.clone());
        recorded.former.clear();
    }
    recorded.next = plan.next.as_ref().map(|next| next.state.clone());
    marks(recorded, plan, install, before.as_ref(), adopted);
    // Repairing what is in place instead of a version that was taken back is no new try of that version.
    if !plan.steps.is_empty() && plan.result != Outcome::RolledBack {
        recorded.returned = None;
    }
}

/// Which hooks have still seen what will be in place; `before` is what was recorded as being in place.
fn marks(
    recorded: &mut InstallState,
    plan: &InstallPlan,
    install: &DesiredInstall,
    before: Option<&GenerationState>,
    adopted: Option<&GenerationState>,
) {
    if plan.content == ContentChange::Different {
        recorded.marks.clear();
        return;
    }
    let Some(after) = recorded.next.as_ref().or(recorded.current.as_ref()) else { return };
    match before {
        // The service has been running on these very bytes: nothing is owed for them.
        None if adopted.is_some_and(|adopted| adopted.name == after.name) => {
            let mark = Mark { run: Some(after.name.clone()), verify: Some(after.name.clone()) };
            recorded.marks = install.rest.hooks.iter().map(|hook| (hook.clone(), mark.clone())).collect();
        }
        Some(before) => {
            let stayed = adopted.is_none() && plan.record.as_ref().is_none_or(|record| record.name == before.name);
            if stayed || before.hash == after.hash {
                let (old, new) = (Some(before.name.clone()), Some(after.name.clone()));
                for part in recorded.marks.values_mut().flat_map(|mark| [&mut mark.run, &mut mark.verify]).filter(|part| **part == old) {
                    part.clone_from(&new);
                }
            }
        }
        None => {}
    }
}

/// The next generation is the one in place.
pub fn promote(recorded: &mut InstallState) {
    if let Some(next) = recorded.next.take() {
        replace_current(recorded, next);
    }
}

/// `generation` is in place; the one before it becomes a former one. A former generation that shows the very same is
/// none to go back to (what drifted, or what a rollback has rebuilt): it must not push out a version that is.
fn replace_current(recorded: &mut InstallState, generation: GenerationState) {
    if let Some(current) = recorded.current.take() {
        recorded.former.insert(0, current);
    }
    let is_same =
        |former: &GenerationState| former.name == generation.name || (former.hash == generation.hash && former.shaped == generation.shaped);
    recorded.former.retain(|former| !is_same(former));
    recorded.current = Some(generation);
}

/// Back to the former generation; the one that was in place is forgotten and returned.
pub fn go_back(recorded: &mut InstallState) -> Option<GenerationState> {
    if recorded.former.is_empty() {
        return None;
    }
    recorded.next = None;
    let former = recorded.former.remove(0);
    recorded.current.replace(former)
}

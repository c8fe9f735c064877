//! Users and groups that the spec names. An unknown one is a fault, never a fallback.

use super::super::desired::{HookUser, Owner};
use super::super::fault::quoted;
use super::super::leaf::Account;
use super::super::wrap::At;
use super::Context;
use crate::host::users::User;
use std::cell::RefCell;
use std::collections::HashMap;

/// What has been looked up, since ten thousand installs may name one user.
#[derive(Default)]
pub(super) struct Accounts {
    users: RefCell<HashMap<String, Option<User>>>,
    groups: RefCell<HashMap<String, Option<u32>>>,
}

/// Stands where a fault has been recorded, so that the other checks go on, and for the accounts of other hosts; it never
/// leaves this folder.
pub(super) fn nobody() -> Owner {
    Owner { name: String::new(), id: u32::MAX }
}

impl Context<'_> {
    fn user(&self, name: &str) -> Option<User> {
        let mut known = self.accounts.users.borrow_mut();
        known.entry(name.to_owned()).or_insert_with(|| (self.surroundings.user)(name)).clone()
    }

    fn group_id(&self, name: &str) -> Option<u32> {
        let mut known = self.accounts.groups.borrow_mut();
        *known.entry(name.to_owned()).or_insert_with(|| (self.surroundings.group)(name).map(|(_, id)| id))
    }

    fn is_root(&self) -> bool {
        self.surroundings.running.user.uid == 0
    }

    /// The owner of an install: the first of these that is written, else the running user.
    pub(super) fn owner(&self, written: &[&At<Account>]) -> Owner {
        self.known_owner(written).unwrap_or_else(nobody)
    }

    fn known_owner(&self, written: &[&At<Account>]) -> Option<Owner> {
        let running = &self.surroundings.running.user;
        let Some(at) = written.iter().find(|at| at.is_written()) else {
            return Some(Owner { name: running.name.clone(), id: running.uid });
        };
        let user = self.known_user(at, "owner", "give files to")?;
        Some(Owner { name: at.value()?.0.clone(), id: user.uid })
    }

    /// A user that is written under `key`, who exists and whom certsync may act for; `act` says what it would do.
    fn known_user(&self, at: &At<Account>, key: &str, act: &str) -> Option<User> {
        let running = &self.surroundings.running.user;
        let name = &at.value()?.0;
        let Some(user) = self.user(name) else {
            self.fault(
                at.pos(),
                format!("no user {} on this host", quoted(name)),
                "make the user first; an unknown one is never replaced by another",
            );
            return None;
        };
        if !self.is_root() && user.uid != running.uid {
            let hint = format!("certsync runs as `{}` here: leave `{key}` out, or run it as root", running.name);
            self.fault(at.pos(), format!("only root can {act} {}", quoted(name)), hint);
            return None;
        }
        Some(user)
    }

    /// The group of an install: the first of these that is written, else the running group.
    pub(super) fn group(&self, written: &[&At<Account>]) -> Owner {
        self.known_group(written).unwrap_or_else(nobody)
    }

    fn known_group(&self, written: &[&At<Account>]) -> Option<Owner> {
        let running = &self.surroundings.running;
        let Some(at) = written.iter().find(|at| at.is_written()) else {
            return Some(Owner { name: running.group.0.clone(), id: running.group.1 });
        };
        let name = &at.value()?.0;
        let Some(id) = self.group_id(name) else {
            self.fault(
                at.pos(),
                format!("no group {} on this host", quoted(name)),
                "make the group first; an unknown one is never replaced by another",
            );
            return None;
        };
        if !self.is_root() && id != running.group.1 && !running.groups.contains(&id) {
            let hint = format!("add `{}` to the group, leave `group` out, or run certsync as root", running.user.name);
            self.fault(at.pos(), format!("`{}` is not in the group {}", running.user.name, quoted(name)), hint);
            return None;
        }
        Some(Owner { name: name.clone(), id })
    }

    /// The group of the gate, which only root can hand anything to. One that nobody wrote may be missing.
    pub(super) fn gate_group(&self, at: &At<Account>, usual: &str) -> Option<(String, u32)> {
        let name = at.value().map_or(usual, |account| account.0.as_str());
        let is_faulty = at.is_written() && at.value().is_none();
        if name == "none" || is_faulty || !self.is_root() {
            return None;
        }
        let found = self.group_id(name);
        if found.is_none() && at.is_written() {
            self.fault(at.pos(), format!("no group {} on this host", quoted(name)), "make the group first, or write `gate_group: none`");
        }
        Some((name.to_owned(), found?))
    }

    /// The user of a hook; where none is written, the running user.
    pub(super) fn hook_user(&self, at: &At<Account>) -> Option<HookUser> {
        let running = &self.surroundings.running.user;
        let found = if at.is_written() { self.known_user(at, "user", "run a hook as")? } else { running.clone() };
        Some(HookUser { name: found.name, uid: found.uid, gid: found.gid, home: found.home })
    }
}

//! Doing a piece of work with no more rights on files than some user has.
//!
//! Only the file-system ids and the supplementary groups change (setfsuid(2), setfsgid(2), setgroups(2)), so that the user gains no
//! rights over this process meanwhile. With a file-system uid other than 0 the kernel takes away the capabilities that
//! override file modes (capabilities(7), "Effect of user ID changes on capabilities").

use super::users;
use crate::base::{Error, ErrorKind, Result};
use nix::unistd::{Gid, Uid, getegid, geteuid, getgrouplist, getgroups, setfsgid, setfsuid, setgroups};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::OnceLock;

/// Whose rights a piece of work has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Identity {
    /// Those of the running user.
    Own,
    /// Those of this user; only ever another than root's, and only where root runs.
    User(Rc<Account>),
}

/// A user with all groups.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Account {
    name: String,
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

/// The group of those who have none: Linux's own overflow gid, which owns nothing.
const NO_GROUP: u32 = 65534;

thread_local! {
    /// Looking a user's groups up can mean asking a directory server.
    static KNOWN: RefCell<BTreeMap<u32, Rc<Account>>> = const { RefCell::new(BTreeMap::new()) };
    static ACTIVE: Cell<bool> = const { Cell::new(false) };
}

impl Identity {
    /// The rights with which what belongs to `owner` is to be read: root trusts itself, and everybody else runs with
    /// rights that cannot be changed.
    pub(super) fn for_owner(owner: u32) -> Identity {
        if owner == 0 || !runs_as_root() {
            return Identity::Own;
        }
        let known = KNOWN.with_borrow_mut(|known| Rc::clone(known.entry(owner).or_insert_with(|| Rc::new(Account::of(owner)))));
        Identity::User(known)
    }

    /// Whether the kernel may follow links under these rights: they are the rights of whoever could have planted one, or there
    /// are no others to be had.
    pub(super) fn may_follow(&self) -> bool {
        matches!(self, Identity::User(_)) || !runs_as_root()
    }

    /// The user whose file modes bind: none for root, whom they do not.
    pub(super) fn uid(&self) -> Option<u32> {
        match self {
            Identity::Own => (!runs_as_root()).then(|| geteuid().as_raw()),
            Identity::User(account) => Some(account.uid.as_raw()),
        }
    }

    /// The user's name.
    pub(super) fn name(&self) -> String {
        match self {
            Identity::Own => users::running_user().name,
            Identity::User(account) => account.name.clone(),
        }
    }

    /// Takes these rights on until the answer is dropped. Does not nest: a second one meanwhile is refused.
    pub(super) fn assume(&self) -> Result<Assumed> {
        let Identity::User(account) = self else {
            return Ok(Assumed { groups: None, thread: PhantomData });
        };
        let refuse = |why: String| {
            Error::new(ErrorKind::Permission, &account.name, format!("its rights cannot be taken on: {why}"))
                .hint("certsync needs CAP_SETUID and CAP_SETGID to read the directories of other users safely")
        };
        if ACTIVE.get() {
            return Err(refuse("another user's are in use".into()));
        }
        let groups = getgroups().map_err(|error| refuse(error.desc().into()))?;
        setgroups(&account.groups).map_err(|error| refuse(error.desc().into()))?;
        ACTIVE.set(true);
        // From here on dropping it goes back.
        let assumed = Assumed { groups: Some(groups), thread: PhantomData };
        if !(switch_group(account.gid) && switch_user(account.uid)) {
            return Err(refuse("the kernel refuses to change the file-system ids".into()));
        }
        Ok(assumed)
    }
}

impl Account {
    /// A number without an entry gets no group at all: the group of the same number is somebody else's.
    fn of(uid: u32) -> Account {
        let is_known = users::has_entry(uid);
        let user = users::user(&uid.to_string());
        let gid = Gid::from_raw(user.as_ref().filter(|_| is_known).map_or(NO_GROUP, |user| user.gid));
        let name = user.map_or_else(|| uid.to_string(), |user| user.name);
        let groups = match CString::new(name.clone()) {
            Ok(text) if is_known => getgrouplist(&text, gid).unwrap_or_else(|_| vec![gid]),
            _ => vec![gid],
        };
        Account { name, uid: Uid::from_raw(uid), gid, groups }
    }
}

fn runs_as_root() -> bool {
    me() == 0
}

/// The effective uid. Asked at every step, and the same throughout: certsync never changes it.
pub(super) fn me() -> u32 {
    static ME: OnceLock<u32> = OnceLock::new();
    *ME.get_or_init(|| geteuid().as_raw())
}

/// setfsuid(2) tells nothing but the value before: asking twice shows whether the first one was heard.
fn switch_user(uid: Uid) -> bool {
    setfsuid(uid);
    setfsuid(uid) == uid
}

fn switch_group(gid: Gid) -> bool {
    setfsgid(gid);
    setfsgid(gid) == gid
}

/// Rights taken on; dropping it goes back to one's own. Bound to its thread, as the file-system ids are.
#[must_use]
pub(super) struct Assumed {
    groups: Option<Vec<Gid>>,
    thread: PhantomData<*const ()>,
}

impl Drop for Assumed {
    fn drop(&mut self) {
        let Some(groups) = &self.groups else {
            return;
        };
        if !(switch_user(geteuid()) && switch_group(getegid()) && setgroups(groups).is_ok()) {
            // Going on half as somebody else would make files with the wrong owner; it cannot happen unless a filter or a
            // security module changed its mind in between.
            eprintln!("certsync: error: cannot return to the rights of the running user");
            std::process::abort();
        }
        ACTIVE.set(false);
    }
}

/// The rights in use during one piece of work: changed only when the next step needs others, since most steps need the same.
pub(super) struct Rights {
    now: Identity,
    held: Option<Assumed>,
}

impl Rights {
    /// One's own, to begin with.
    pub(super) fn own() -> Rights {
        Rights { now: Identity::Own, held: None }
    }

    /// Goes over to these.
    pub(super) fn take(&mut self, who: &Identity) -> Result<()> {
        if self.now != *who {
            // Back first: identities do not nest.
            self.held = None;
            self.now = Identity::Own;
            self.held = Some(who.assume()?);
            self.now = who.clone();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Identity;
    use crate::host::testing::{STRANGER, Scene, Test, needs_root};
    use std::ffi::OsStr;

    #[test]
    fn the_rights_of_another_user_end_where_his_files_end() -> Test {
        if needs_root() {
            return Ok(());
        }
        let scene = Scene::new()?;
        scene.file("ours", "secret", 0o600)?;
        scene.file("his", "his", 0o400)?;
        scene.give("his", STRANGER)?;
        let dir = scene.dir()?;
        let identity = Identity::for_owner(STRANGER);
        {
            let _assumed = identity.assume()?;
            assert!(dir.read_file(OsStr::new("ours"), 10).is_err());
            assert!(dir.read_file(OsStr::new("his"), 10).is_ok());
            assert!(identity.assume().is_err(), "identities do not nest");
        }
        assert!(dir.read_file(OsStr::new("ours"), 10).is_ok());
        assert!(identity.assume().is_ok());
        Ok(())
    }

    #[test]
    fn group_rights_of_root_do_not_stay() -> Test {
        if needs_root() {
            return Ok(());
        }
        let scene = Scene::new()?;
        scene.file("group", "secret", 0o060)?;
        let _assumed = Identity::for_owner(STRANGER).assume()?;
        assert!(scene.dir()?.read_file(OsStr::new("group"), 10).is_err());
        Ok(())
    }

    #[test]
    fn root_and_the_running_user_keep_their_own_rights() -> Test {
        assert_eq!(Identity::for_owner(0), Identity::Own);
        assert_eq!(Identity::for_owner(nix::unistd::geteuid().as_raw()), Identity::Own);
        Ok(())
    }
}

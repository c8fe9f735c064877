//! Which way each set goes: origin, targets, the servers in between; and which of the servers this host is.

use super::super::fault::{quoted, suggest};
use super::super::fleet::{Delivery, Members};
use super::super::leaf::Line;
use super::super::types::CertSpec;
use super::super::wrap::{At, List};
use super::Context;
use super::groups::Targets;
use super::servers::{Number, Servers};
use crate::base::SetName;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// The servers as this host sees them.
pub(super) struct Topology<'a> {
    pub servers: Servers<'a>,
    /// This host; none where that is a fault.
    pub me: Option<Number>,
    /// This host and everything below it.
    pub mine: Members,
    roots: Option<Vec<Number>>,
    reached: RefCell<HashMap<Number, Rc<Members>>>,
    pulling: Members,
    /// The targets seen so far that come on their own schedule.
    waiting: RefCell<Members>,
}

/// The way of one set.
pub(super) struct Way {
    pub origin: Option<Number>,
    pub targets: Members,
    /// Whether all that is written of its targets exists.
    pub is_sure: bool,
    /// What this host has to do with it.
    pub role: Role,
}

/// What this host has to do with a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It is read here.
    Origin,
    /// It comes from the upstream, to stay or to be passed on.
    OnTheWay,
    /// Nothing.
    Nothing,
}

impl<'a> Topology<'a> {
    pub(super) fn new(context: &Context<'_>, servers: Servers<'a>, name: Option<&str>) -> Topology<'a> {
        let me = who_am_i(context, &servers, name);
        let pulls = |number: &Number| servers.specs[*number].is_some() && servers.delivery(*number) == Delivery::Pull;
        Topology {
            me,
            mine: servers.reached_from(me.into_iter()),
            roots: servers.roots(),
            reached: RefCell::default(),
            pulling: Members::of(servers.count(), (0..servers.count()).filter(pulls)),
            waiting: RefCell::new(Members::none(servers.count())),
            servers,
        }
    }

    /// The way of a set, and its faults.
    pub(super) fn way(&self, context: &Context<'_>, key: &At<SetName>, spec: &CertSpec) -> Way {
        let origin = self.origin(context, key, spec);
        let written = spec.targets.value();
        if !spec.targets.is_written() {
            let hint = "name the servers and groups it goes to; `all` is every server but its origin";
            context.fault(key.pos(), "the set has no `targets`", hint);
        }
        let none = List::default();
        let list = written.unwrap_or(&none);
        let Targets { entries, all } = self.servers.groups.targets(context, &self.servers, list, origin);
        let mut role = Role::Nothing;
        if let Some(origin) = origin {
            let reached = self.reached_from(origin);
            let lost = all.without(&reached).without(&self.servers.doubtful);
            let from = quoted(self.servers.names[origin].as_str());
            for (pos, entry) in entries.iter().filter(|_| !lost.is_empty()) {
                let lost = self.servers.groups.of_entry(*entry, &lost);
                if !lost.is_empty() {
                    let message =
                        format!("no chain of upstreams joins {} to {from}, the set's origin", self.servers.list(lost.into_iter()));
                    context.fault(*pos, message, "give it an upstream that the set comes to, or name another `origin`");
                }
            }
            let is_reached = self.me.is_some_and(|me| reached.has(me)) && !all.and(&self.mine).is_empty();
            role = match self.me {
                Some(me) if me == origin => Role::Origin,
                _ if is_reached => Role::OnTheWay,
                _ => Role::Nothing,
            };
        }
        let mut waiting = all.and(&self.pulling);
        if let Some(origin) = origin {
            waiting.remove(origin);
        }
        self.waiting.borrow_mut().add_all(&waiting);
        Way { origin, is_sure: written.is_some_and(|list| list.0.len() == entries.len()), targets: all, role }
    }

    fn origin(&self, context: &Context<'_>, key: &At<SetName>, spec: &CertSpec) -> Option<Number> {
        let at = &spec.origin;
        let (pos, found) = match (at.is_written(), self.roots.as_deref()) {
            (true, _) => (at.pos(), self.servers.expect(context, at.pos(), &at.value()?.0, "an origin")?),
            (false, Some([one])) => (key.pos(), *one),
            (false, Some([])) | (false, None) => return None,
            (false, Some(several)) => {
                let message = format!("the set needs an `origin`: {} have no upstream", self.servers.list(several.iter().copied()));
                context.fault(key.pos(), message, "write the server that it comes from, `origin: NAME`, or give all but one an upstream");
                return None;
            }
        };
        if self.servers.is_bare(found) {
            let message = format!("{} is a host without certsync, no set can come from it", quoted(self.servers.names[found].as_str()));
            context.fault(pos, message, "let another server read it, with `source: { rsync: … }`");
        }
        Some(found)
    }

    /// Everything below a server, and itself.
    pub(super) fn reached_from(&self, top: Number) -> Rc<Members> {
        let mut known = self.reached.borrow_mut();
        Rc::clone(known.entry(top).or_insert_with(|| Rc::new(self.servers.reached_from(std::iter::once(top)))))
    }

    /// Whether an install is one of this host.
    pub(super) fn is_install_here(&self, context: &Context<'_>, way: &Way, targets: &At<List<Line>>) -> bool {
        let is_target =
            |targets: &Members| self.me.is_some_and(|me| targets.has(me) && !self.servers.is_bare(me)) && way.role != Role::Nothing;
        let Some(list) = targets.value() else { return is_target(&way.targets) && !targets.is_written() };
        let own = self.servers.groups.targets(context, &self.servers, list, way.origin);
        let strange = own.all.without(&way.targets);
        for (pos, entry) in own.entries.iter().filter(|_| way.is_sure && !strange.is_empty()) {
            let strange = self.servers.groups.of_entry(*entry, &strange);
            if !strange.is_empty() {
                let message = format!("the set does not go to {}", self.servers.list(strange.into_iter()));
                context.fault(*pos, message, "an install can only be where the set goes: add it to the set's `targets`");
            }
        }
        is_target(&own.all)
    }

    /// The targets of any set that come on their own schedule.
    pub(super) fn waiting(&self) -> Members {
        self.waiting.borrow().clone()
    }
}

/// Which server this host is: the one named, or the first of these: a server of this host's full name, of its short name,
/// at an address that is its full name, or its short name.
fn who_am_i(context: &Context<'_>, servers: &Servers<'_>, name: Option<&str>) -> Option<Number> {
    let known: Vec<&str> = servers.names.iter().map(|name| name.as_str()).collect();
    let pos = context.servers_pos();
    if let Some(name) = name {
        let found = servers.find(name);
        if found.is_none() {
            let hint = suggest(name, &known, "there are").unwrap_or_else(|| "--as and CERTSYNC_AS take a name from `servers`".into());
            context.fault(pos, format!("no server {}, which this host is said to be", quoted(name)), hint);
        }
        return found;
    }
    let full = (context.surroundings.host_name)().to_ascii_lowercase();
    let short = full.split('.').next().unwrap_or_default().to_owned();
    let tries = if short == full { vec![full] } else { vec![full, short] };
    let is_name = |number: &Number, text: &str| servers.names[*number].as_str().eq_ignore_ascii_case(text);
    let is_address = |number: &Number, text: &str| {
        let address = servers.specs[*number].and_then(|spec| spec.address.value());
        address.is_some_and(|address| address.0.trim_end_matches('.').eq_ignore_ascii_case(text))
    };
    let all = || 0..servers.count();
    let by_name = tries.iter().map(|text| all().filter(|number| is_name(number, text)).collect::<Vec<_>>());
    let by_address = tries.iter().map(|text| all().filter(|number| is_address(number, text)).collect::<Vec<_>>());
    let found = by_name.chain(by_address).find(|found| !found.is_empty()).unwrap_or_default();
    let tried: Vec<String> = tries.iter().map(|text| quoted(text)).collect();
    let tried = tried.join(" and ");
    match found.as_slice() {
        [one] => return Some(*one),
        [] => context.fault(
            pos,
            format!("none of these servers is this host: tried {tried} among the names and the addresses"),
            "say who this host is with --as NAME or CERTSYNC_AS",
        ),
        several => context.fault(
            pos,
            format!("{} could all be this host: tried {tried}", servers.list(several.iter().copied())),
            "say who this host is with --as NAME or CERTSYNC_AS",
        ),
    }
    None
}

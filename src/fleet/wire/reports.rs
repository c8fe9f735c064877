//! Reports on the wire: how many servers stand, in as many messages as that takes.

use super::{Message, Wire};
use crate::base::Result;
use crate::state::{Standing, in_parts};
use std::io::{Read, Write};

/// What a message has of a report at most, in bytes, unless one server alone has more.
const LONGEST_PART: usize = 8 << 20;

impl<L> Wire<L> {
    /// A report as the messages in which it is sent: the last one is the `Report`. To one that knows no parts, in one message.
    pub fn report(&self, servers: Vec<Standing>) -> Vec<Message> {
        if !self.knows_parts_and_stages() {
            return vec![Message::Report { servers }];
        }
        let mut parts = in_parts(servers, LONGEST_PART);
        let last = Message::Report { servers: parts.pop().unwrap_or_default() };
        let number = |(number, servers)| Message::ReportPart { number: u32::try_from(number).unwrap_or(u32::MAX), servers };
        parts.into_iter().enumerate().map(number).chain([last]).collect()
    }
}

impl<L: Write> Wire<L> {
    /// Answers with a report.
    ///
    /// # Errors
    /// Kind `Peer`.
    pub fn send_report(&mut self, servers: Vec<Standing>) -> Result<()> {
        self.report(servers).iter().try_for_each(|message| self.send(message))
    }
}

impl<L: Read> Wire<L> {
    /// What follows the first part of a report, with it; no more than `most` servers are heard.
    ///
    /// # Errors
    /// Kind `Peer`: it breaks off, or does not end.
    pub fn rest_of_report(&mut self, first: Vec<Standing>, most: usize) -> Result<Vec<Standing>> {
        let mut all = first;
        loop {
            let (servers, is_last) = match self.must()? {
                Message::ReportPart { servers, .. } if !servers.is_empty() => (servers, false),
                Message::Report { servers } => (servers, true),
                _ => return Err(self.out_of_turn("the rest of the report")),
            };
            all.extend(servers);
            if all.len() > most {
                return Err(self.out_of_turn("the end of the report"));
            }
            if is_last {
                return Ok(all);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{hello, messages, standing, wire};
    use super::{LONGEST_PART, Message};
    use crate::state::Standing;

    /// So many servers with so many sets each.
    fn many(servers: usize, sets: usize) -> Vec<Standing> {
        let one = standing();
        let set = one.sets.values().next().expect("a set").clone();
        let name = |kind: &str, at: usize| format!("{kind}{at}");
        let sets: std::collections::BTreeMap<_, _> = (0..sets).map(|at| (name("set", at).parse().expect("a name"), set.clone())).collect();
        (0..servers).map(|at| Standing { server: name("web", at).parse().expect("a name"), sets: sets.clone(), ..one.clone() }).collect()
    }

    #[test]
    fn a_report_of_any_length_comes_whole_and_one_that_does_not_end_is_refused() {
        // Some 20 MiB, and no server alone is long.
        let told = many(160, 500);
        let mut gate = wire(&messages(&[Message::Hello(hello("web1"))]));
        gate.greet_back(&hello("mgmt")).expect("a common version");
        let parts = gate.report(told.clone());
        assert!(parts.len() > 2, "{}", parts.len());
        for part in &parts {
            assert!(serde_json::to_vec(part).expect("JSON").len() < LONGEST_PART + 1000);
        }
        let bytes = messages(&parts);
        let first = |most: usize| {
            let mut wire = wire(&bytes);
            let Ok(Message::ReportPart { number: 0, servers }) = wire.must() else { panic!("no first part") };
            (wire.rest_of_report(servers, most), wire.is_broken())
        };
        assert_eq!(first(160).0.ok(), Some(told));
        let (refused, broken) = first(159);
        assert!(refused.is_err() && broken);
        let empty = messages(&[Message::ReportPart { number: 1, servers: Vec::new() }]);
        assert!(wire(&empty).rest_of_report(Vec::new(), 10).is_err(), "parts of nothing could go on for ever");
        // Who knows no parts is sent one message.
        assert_eq!(wire(b"").report(many(3, 1)).len(), 1);
    }
}

//! The command that a server without certsync is told to run once it has what is new.

use super::authorized_keys::for_shell;
use crate::base::SetName;
use crate::spec::Command;

/// What stands for a set's name in the words of a command.
const NAME: &str = "{name}";

/// One run of the command.
#[derive(Debug, PartialEq, Eq)]
pub struct Run<'a> {
    /// The sets it is about.
    pub sets: Vec<&'a SetName>,
    /// What the shell of the account there is given.
    pub line: String,
}

/// The runs for these sets: one for each where a word of the command holds `{name}`, otherwise one for all. Text goes through `/bin/sh`
/// there, with the names as its arguments: a name is never part of what a shell reads as text.
pub fn runs<'a>(command: &Command, sets: &[&'a SetName]) -> Vec<Run<'a>> {
    if sets.is_empty() {
        return Vec::new();
    }
    match command {
        Command::Argv(words) if words.iter().any(|word| word.contains(NAME)) => {
            let line = |set: &SetName| line(words.iter().map(|word| word.replace(NAME, set.as_str())));
            sets.iter().map(|set| Run { sets: vec![*set], line: line(set) }).collect()
        }
        Command::Argv(words) => vec![Run { sets: sets.to_vec(), line: line(words.iter().cloned()) }],
        Command::Shell(text) => {
            let words = ["/bin/sh", "-c", text, "certsync"].map(str::to_owned).into_iter();
            vec![Run { sets: sets.to_vec(), line: line(words.chain(sets.iter().map(ToString::to_string))) }]
        }
    }
}

fn line(words: impl Iterator<Item = String>) -> String {
    words.map(|word| for_shell(&word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{Run, runs};
    use crate::base::SetName;
    use crate::spec::Command;

    fn names(texts: &[&str]) -> Vec<SetName> {
        texts.iter().map(|text| text.parse().expect("a name")).collect()
    }

    fn argv(words: &[&str]) -> Command {
        Command::Argv(words.iter().map(ToString::to_string).collect())
    }

    /// What `sh` makes of a line: its words.
    fn read(line: &str) -> Vec<String> {
        let out = std::process::Command::new("sh").args(["-c", &format!("printf '%s\\0' {line}")]).output().expect("a shell");
        let text = String::from_utf8(out.stdout).expect("text");
        text.split_terminator('\0').map(str::to_owned).collect()
    }

    #[test]
    fn a_command_that_names_the_set_runs_once_for_each() {
        let all = names(&["a.test", "$(touch x) 'b' \"c\"", "münchen.example"]);
        let sets: Vec<&SetName> = all.iter().collect();
        let told = runs(&argv(&["/usr/local/bin/re load", "--set={name}", "{name}/{name}"]), &sets);
        assert_eq!(told.len(), 3);
        for (run, set) in told.iter().zip(&sets) {
            assert_eq!(run.sets, [*set]);
            assert_eq!(read(&run.line), ["/usr/local/bin/re load".to_owned(), format!("--set={set}"), format!("{set}/{set}")]);
        }
    }

    #[test]
    fn any_other_runs_once_for_all() {
        let all = names(&["a.test", "b c"]);
        let sets: Vec<&SetName> = all.iter().collect();
        let plain = argv(&["systemctl", "reload", "nginx"]);
        assert_eq!(runs(&plain, &sets), [Run { sets: sets.clone(), line: "systemctl reload nginx".into() }]);
        assert_eq!(runs(&plain, &[]), []);
    }

    #[test]
    fn text_for_the_shell_gets_the_names_as_arguments() {
        let all = names(&["a.test", "$(touch x) 'b'"]);
        let sets: Vec<&SetName> = all.iter().collect();
        let told = runs(&Command::Shell("printf '<%s>' \"$@\"; echo '!'".into()), &sets);
        assert_eq!(told.len(), 1);
        let out = std::process::Command::new("sh").args(["-c", &told[0].line]).output().expect("a shell");
        assert_eq!(String::from_utf8_lossy(&out.stdout), "<a.test><$(touch x) 'b'>!\n");
    }
}

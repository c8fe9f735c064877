//! Which files of a source belong to a set: the patterns of `only` and `except`.

use super::Select;
use glob::{MatchOptions, Pattern};

/// What `except` is where the spec writes none.
pub const DEFAULT_EXCEPT: [&str; 5] = ["README", ".*", "*.conf", "*.csr", "*.json"];

/// Case counts, `*` and `?` stop at a slash, a leading dot is a character like any other.
const OPTIONS: MatchOptions = MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// The compiled patterns of a [`Select`].
#[derive(Debug, Clone)]
pub struct Matcher {
    only: Vec<Pattern>,
    except: Vec<Pattern>,
}

impl Select {
    /// Compiles the patterns; one that does not compile matches nothing (the loader refuses those).
    pub fn matcher(&self) -> Matcher {
        let compile = |patterns: &[String]| patterns.iter().filter_map(|text| Pattern::new(text).ok()).collect();
        Matcher { only: compile(&self.only), except: compile(&self.except) }
    }
}

impl Matcher {
    /// Whether the file with this path, relative to the source, belongs to the set.
    pub fn wants(&self, rel_path: &str) -> bool {
        let name = rel_path.rsplit('/').next().unwrap_or(rel_path);
        let hit = |pattern: &Pattern| {
            let text = if pattern.as_str().contains('/') { rel_path } else { name };
            pattern.matches_with(text, OPTIONS)
        };
        (self.only.is_empty() || self.only.iter().any(hit)) && !self.except.iter().any(hit)
    }
}

#[cfg(test)]
mod tests {
    use super::{DEFAULT_EXCEPT, Select};

    fn select(only: &[&str], except: &[&str]) -> Select {
        let own = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        Select { only: own(only), except: own(except) }
    }

    #[test]
    fn the_default_leaves_out_what_is_no_certificate() {
        let matcher = select(&[], &DEFAULT_EXCEPT).matcher();
        assert!(["cert.pem", "sub/privkey.pem", "README.txt"].iter().all(|path| matcher.wants(path)));
        assert!(!["README", ".well-known", "sub/.x", "a.conf", "sub/a.csr", "a.json"].iter().any(|path| matcher.wants(path)));
    }

    #[test]
    fn a_pattern_with_a_slash_is_held_against_the_path() {
        let matcher = select(&["sub/*.pem"], &[]).matcher();
        assert!(matcher.wants("sub/a.pem"));
        assert!(!["a.pem", "sub/deeper/a.pem", "other/sub/a.pem"].iter().any(|path| matcher.wants(path)));
    }

    #[test]
    fn case_counts() {
        assert!(!select(&["*.pem"], &[]).matcher().wants("A.PEM"));
    }
}

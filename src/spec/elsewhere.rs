//! Keys that are right in another place of the spec.

/// The right place of a key that is written in a wrong one; `owner` is the type that it is written in.
pub(super) fn elsewhere(owner: &str, key: &str) -> Option<&'static str> {
    match (owner, key) {
        ("CertSpec", "owner" | "group" | "dir_mode" | "file_mode" | "key_mode" | "layout" | "keep" | "prune") => {
            Some("this belongs in an `install` of the set, or in `defaults`")
        }
        ("CertSpec", "dest" | "files" | "hooks") => Some("this belongs in an `install` of the set"),
        ("Spec", "owner" | "group" | "dir_mode" | "file_mode" | "key_mode" | "layout" | "keep" | "prune") => {
            Some("this belongs in `defaults`")
        }
        ("Included", "defaults" | "limits" | "revoked_keys" | "include" | "fleet" | "rollout" | "version") => {
            Some("this belongs in the spec itself; an included file may hold certs, hooks, servers and groups")
        }
        ("InstallSpec", "source" | "names" | "accept" | "only" | "except" | "origin") => Some("this belongs in the set, beside `install`"),
        ("Defaults", "hooks" | "dest" | "files") => Some("this belongs in an install"),
        _ => None,
    }
}

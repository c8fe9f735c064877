//! What an install makes of a set's files.

use super::facts::FileKind;
use super::set::Material;
use crate::base::{ContentHash, Error, ErrorKind, RelPath, Secret};
use crate::spec::FileRule;

/// One file as an install gets it.
pub struct RenderedFile {
    /// Its path within `dest`.
    pub path: RelPath,
    /// Its bytes.
    pub bytes: Secret,
    /// SHA-256 of the bytes.
    pub sha256: ContentHash,
    /// What it is recognised as.
    pub kind: FileKind,
}

/// The files of an install, sorted by path. `None`: every file of the set, same name. Parts of a joined file follow each
/// other in the order of the rule; where a part does not end in a line break, one is put between it and the next, since
/// two PEM lines in one (`-----END …----------BEGIN …-----`) are readable to nobody.
///
/// # Errors
/// [`ErrorKind::Source`] when a rule names a part that the set does not hold.
pub fn render(material: &Material, rules: Option<&[FileRule]>) -> Result<Vec<RenderedFile>, Error> {
    let Some(rules) = rules else {
        return Ok(material.files().iter().map(|file| rendered(file.path.clone(), file.bytes.expose().to_vec())).collect());
    };
    let mut files = rules.iter().map(|rule| joined(material, rule)).collect::<Result<Vec<_>, _>>()?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn joined(material: &Material, rule: &FileRule) -> Result<RenderedFile, Error> {
    let parts = rule.parts.iter().map(|part| find(material, rule, part)).collect::<Result<Vec<_>, _>>()?;
    // Room for everything at once: a buffer that grows leaves copies of key bytes behind, which nobody wipes.
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
    for (i, part) in parts.iter().enumerate() {
        bytes.extend_from_slice(part);
        if i + 1 < parts.len() && !part.is_empty() && !part.ends_with(b"\n") {
            bytes.push(b'\n');
        }
    }
    Ok(rendered(rule.name.clone(), bytes))
}

fn find<'a>(material: &'a Material, rule: &FileRule, part: &RelPath) -> Result<&'a [u8], Error> {
    if let Some(file) = material.files().iter().find(|file| file.path == *part) {
        return Ok(file.bytes.expose());
    }
    Err(Error::new(ErrorKind::Source, rule.name.as_str(), format!("is made of {part}, which the set does not hold")).hint(holds(material)))
}

fn holds(material: &Material) -> String {
    const SHOWN: usize = 20;
    let names: Vec<&str> = material.files().iter().map(|file| file.path.as_str()).collect();
    match names.len() {
        0 => String::from("the set holds no file"),
        n if n > SHOWN => format!("the set holds {} and {} more", names[..SHOWN].join(", "), n - SHOWN),
        _ => format!("the set holds {}", names.join(", ")),
    }
}

fn rendered(path: RelPath, bytes: Vec<u8>) -> RenderedFile {
    let bytes = Secret::new(bytes);
    RenderedFile { path, sha256: bytes.sha256(), kind: super::kind_of(bytes.expose()), bytes }
}

#[cfg(test)]
mod tests {
    use super::render;
    use crate::base::{ErrorKind, PathError, Secret};
    use crate::material::Material;
    use crate::spec::FileRule;

    fn set() -> Result<Material, PathError> {
        let file = |name: &str, text: &str| Ok((name.parse()?, Secret::new(text.into())));
        Ok(Material::new(vec![file("b.pem", "b\n")?, file("a.pem", "a")?]))
    }

    fn rule(name: &str, parts: &[&str]) -> Result<FileRule, PathError> {
        Ok(FileRule { name: name.parse()?, parts: parts.iter().map(|part| part.parse()).collect::<Result<_, _>>()? })
    }

    #[test]
    fn without_rules_every_file_keeps_its_name() -> Result<(), Box<dyn std::error::Error>> {
        let files = render(&set()?, None)?;
        let shown: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.bytes.expose())).collect();
        assert_eq!(shown, [("a.pem", &b"a"[..]), ("b.pem", b"b\n")]);
        Ok(())
    }

    #[test]
    fn parts_are_joined_with_a_line_break_where_one_is_missing() -> Result<(), Box<dyn std::error::Error>> {
        let files = render(&set()?, Some(&[rule("x.pem", &["a.pem", "b.pem", "a.pem"])?]))?;
        let shown: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.bytes.expose())).collect();
        assert_eq!(shown, [("x.pem", &b"a\nb\na"[..])]);
        Ok(())
    }

    #[test]
    fn a_missing_part_is_named_with_what_the_set_holds() -> Result<(), Box<dyn std::error::Error>> {
        let error = render(&set()?, Some(&[rule("x.pem", &["c.pem"])?])).err();
        let shown = error.map(|error| (error.kind, error.to_string(), error.hint));
        let hint = Some(String::from("the set holds a.pem, b.pem"));
        assert_eq!(shown, Some((ErrorKind::Source, "x.pem: is made of c.pem, which the set does not hold".into(), hint)));
        Ok(())
    }
}

//! Whether bytes written under one descriptor can be read under another.

use super::{Descriptor, Field, Primitive, Shape, Variant};

/// How a reader's descriptor relates to a writer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compatibility {
    /// The same bytes: read in place.
    Equal,
    /// Every written value has one meaning under the reader's descriptor, after these changes.
    Migratable(Vec<Change>),
}

/// One step of a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The reader has a field that the writer did not: it becomes `None` or its default.
    Added(String),
    /// The writer had a field that the reader does not: it is dropped.
    Removed(String),
    /// The field lies elsewhere, or the variant has another tag.
    Moved(String),
    /// A number became a wider one.
    Widened(String),
    /// A value became optional.
    MadeOptional(String),
}

/// Why a written value can't be read: the field and the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Incompatible {
    /// The path of the field, from the root's type: `Bid.item.price`.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Descriptor {
    /// How values written under `written` can be read under this descriptor.
    ///
    /// Migratable are: fields added (if optional or with a default), removed, or moved; numbers widened without loss; a
    /// value made optional; variants added or moved. Another declared version is not: the meaning has changed, and
    /// only the program's author knows how.
    ///
    /// # Errors
    /// The first field that can't be read, with the reason.
    pub fn compatibility(&self, written: &Self) -> Result<Compatibility, Incompatible> {
        if self == written {
            return Ok(Compatibility::Equal);
        }
        let mut walk = Walk { path: vec![self.to_string()], changes: Vec::new() };
        walk.descriptor(self, written)?;
        Ok(Compatibility::Migratable(walk.changes))
    }
}

struct Walk {
    path: Vec<String>,
    changes: Vec<Change>,
}

impl Walk {
    fn at(&self) -> String {
        self.path.join(".")
    }

    fn refuse<T>(&self, reason: String) -> Result<T, Incompatible> {
        Err(Incompatible { field: self.at(), reason })
    }

    fn within(
        &mut self,
        name: &str,
        check: impl FnOnce(&mut Self) -> Result<(), Incompatible>,
    ) -> Result<(), Incompatible> {
        self.path.push(name.to_owned());
        check(self)?;
        self.path.pop();
        Ok(())
    }

    fn descriptor(&mut self, read: &Descriptor, written: &Descriptor) -> Result<(), Incompatible> {
        if read.version != written.version {
            return self.refuse(format!(
                "written as version {} of its type, this program has version {}",
                written.version, read.version
            ));
        }
        match (&read.shape, &written.shape) {
            (Shape::Primitive(read), Shape::Primitive(written)) if read == written => Ok(()),
            (Shape::Primitive(read), Shape::Primitive(written)) if widens(*written, *read) => {
                self.changes.push(Change::Widened(self.at()));
                Ok(())
            }
            (Shape::String, Shape::String) => Ok(()),
            (Shape::Vec(read), Shape::Vec(written)) | (Shape::Option(read), Shape::Option(written)) => {
                self.descriptor(read, written)
            }
            (Shape::Option(read), _) => {
                self.changes.push(Change::MadeOptional(self.at()));
                self.descriptor(read, written)
            }
            (Shape::Array(read, length), Shape::Array(written, before)) if length == before => {
                self.descriptor(read, written)
            }
            (Shape::Tuple(read), Shape::Tuple(written)) if read.len() == written.len() => {
                self.fields(read, written)
            }
            (Shape::Struct(read), Shape::Struct(written)) => self.fields(read, written),
            (Shape::Enum(read), Shape::Enum(written)) => self.variants(read, written),
            _ => self.refuse(format!("written as `{written}`, this program reads `{read}`")),
        }
    }

    fn fields(&mut self, read: &[Field], written: &[Field]) -> Result<(), Incompatible> {
        for field in read {
            let before = written.iter().find(|before| before.name == field.name);
            self.within(&field.name, |walk| match before {
                Some(before) => {
                    if before.offset != field.offset {
                        walk.changes.push(Change::Moved(walk.at()));
                    }
                    walk.descriptor(&field.ty, &before.ty)
                }
                None if field.default || matches!(field.ty.shape, Shape::Option(_)) => {
                    walk.changes.push(Change::Added(walk.at()));
                    Ok(())
                }
                None => walk.refuse(
                    "was not written; make it an Option, or give it a default with #[data(default)]"
                        .to_owned(),
                ),
            })?;
        }
        for before in written {
            if read.iter().all(|field| field.name != before.name) {
                self.changes.push(Change::Removed(format!("{}.{}", self.at(), before.name)));
            }
        }
        Ok(())
    }

    fn variants(&mut self, read: &[Variant], written: &[Variant]) -> Result<(), Incompatible> {
        for before in written {
            let now = read.iter().find(|variant| variant.name == before.name);
            self.within(&before.name, |walk| match now {
                Some(now) => {
                    if now.tag != before.tag {
                        walk.changes.push(Change::Moved(walk.at()));
                    }
                    walk.fields(&now.fields, &before.fields)
                }
                None => walk
                    .refuse("values of this variant were written, this program does not have it".to_owned()),
            })?;
        }
        for variant in read {
            if written.iter().all(|before| before.name != variant.name) {
                self.changes.push(Change::Added(format!("{}.{}", self.at(), variant.name)));
            }
        }
        Ok(())
    }
}

/// Whether every value of `from` is exactly one of `to`.
fn widens(from: Primitive, to: Primitive) -> bool {
    let integer = |primitive| match primitive {
        Primitive::U8 => Some((8, false)),
        Primitive::U16 => Some((16, false)),
        Primitive::U32 => Some((32, false)),
        Primitive::U64 => Some((64, false)),
        Primitive::U128 => Some((128, false)),
        Primitive::I8 => Some((8, true)),
        Primitive::I16 => Some((16, true)),
        Primitive::I32 => Some((32, true)),
        Primitive::I64 => Some((64, true)),
        Primitive::I128 => Some((128, true)),
        _ => None,
    };
    match (integer(from), integer(to)) {
        (Some((from, from_signed)), Some((to, to_signed))) => from < to && (to_signed || !from_signed),
        (None, None) => from == Primitive::F32 && to == Primitive::F64,
        // A double holds every integer of 32 bits, but a reader that expects whole numbers may not expect a fraction
        // later: the author decides, with a version.
        _ => false,
    }
}

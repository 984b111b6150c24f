//! The form of an MCP server, as questions: one for each of its fields.

use serde_json::{Map, Value, json};

use crate::commands::questions::{number, with_options};

/// A form that a person can fill in line by line.
pub(super) struct Form {
    schema: Value,
    fields: Vec<Field>,
    content: Map<String, Value>,
}

struct Field {
    name: String,
    schema: Value,
    is_required: bool,
}

impl Form {
    /// The form of a request; `None` if it has no fields, or one that a line can't answer.
    pub(super) fn of(params: &Value) -> Option<Self> {
        if params["mode"] != "form" {
            return None;
        }
        let schema = &params["requestedSchema"];
        let required = schema["required"].as_array();
        let fields = schema["properties"].as_object()?;
        let fields: Vec<Field> = fields
            .iter()
            .map(|(name, schema)| Field {
                name: name.clone(),
                schema: schema.clone(),
                is_required: required.is_some_and(|all| all.iter().any(|one| one == name)),
            })
            .collect();
        let is_askable = !fields.is_empty() && fields.iter().all(Field::is_askable);
        is_askable.then(|| Self {
            schema: schema.clone(),
            fields,
            content: Map::new(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.fields.len()
    }

    /// The question for a field.
    pub(super) fn text(&self, at: usize) -> String {
        let field = &self.fields[at];
        let text = |key: &str| field.schema[key].as_str().filter(|text| !text.is_empty());
        let mut question = text("title").unwrap_or(&field.name).to_owned();
        if let Some(about) = text("description") {
            question = format!("{question}: {about}");
        }
        let kind = match field.kind() {
            "string" => "",
            "boolean" => " (y or n)",
            "array" => " (numbers, separated by commas)",
            _ => " (a number)",
        };
        let needed = if field.is_required {
            ""
        } else {
            " (need not be answered)"
        };
        let options = field.options();
        let options = options.iter().map(|(_, title)| (title.as_str(), ""));
        with_options(&format!("{question}{kind}{needed}"), options)
    }

    pub(super) fn has_options(&self, at: usize) -> bool {
        !self.fields[at].options().is_empty()
    }

    /// Takes what was typed for a field.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn fill(&mut self, at: usize, typed: &str) -> Result<(), String> {
        let field = &self.fields[at];
        let value = field.value(typed)?;
        let validator = jsonschema::validator_for(&field.schema).map_err(|e| e.to_string())?;
        validator.validate(&value).map_err(|e| e.to_string())?;
        self.content.insert(field.name.clone(), value);
        Ok(())
    }

    /// Leaves a field out.
    ///
    /// # Errors
    /// If it is required.
    pub(super) fn skip(&mut self, at: usize) -> Result<(), String> {
        if self.fields[at].is_required {
            return Err("this has to be answered; /decline declines the whole form".to_owned());
        }
        Ok(())
    }

    /// All that was filled in.
    ///
    /// # Errors
    /// Why the form does not take it.
    pub(super) fn content(&self) -> Result<Value, String> {
        let content = Value::Object(self.content.clone());
        let validator = jsonschema::validator_for(&self.schema).map_err(|e| e.to_string())?;
        validator.validate(&content).map_err(|e| e.to_string())?;
        Ok(content)
    }
}

impl Field {
    fn kind(&self) -> &str {
        self.schema["type"].as_str().unwrap_or("string")
    }

    fn is_askable(&self) -> bool {
        match self.kind() {
            "array" => !self.options().is_empty(),
            kind => matches!(kind, "string" | "boolean" | "number" | "integer"),
        }
    }

    /// The options: their values and their labels.
    fn options(&self) -> Vec<(Value, String)> {
        let of = match self.kind() {
            "array" => &self.schema["items"],
            _ => &self.schema,
        };
        let called = |value: &Value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        };
        if let Some(values) = of["enum"].as_array() {
            let names = of["enumNames"].as_array();
            let name = |at: usize| names?.get(at)?.as_str();
            let all = values.iter().enumerate();
            return all
                .map(|(at, value)| {
                    (
                        value.clone(),
                        name(at).map_or_else(|| called(value), str::to_owned),
                    )
                })
                .collect();
        }
        let all = of["oneOf"].as_array().or_else(|| of["anyOf"].as_array());
        all.into_iter()
            .flatten()
            .filter_map(|one| {
                let value = one.get("const")?;
                let title = one["title"].as_str();
                Some((
                    value.clone(),
                    title.map_or_else(|| called(value), str::to_owned),
                ))
            })
            .collect()
    }

    fn value(&self, typed: &str) -> Result<Value, String> {
        let options = self.options();
        let chosen = |typed: &str| {
            let by_number = number(typed).and_then(|n| options.get(n));
            let named =
                || { options.iter() }.find(|(value, title)| value == typed || title == typed);
            let (value, _) = by_number
                .or_else(named)
                .ok_or_else(|| format!("{typed:?} is none of these"))?;
            Ok::<_, String>(value.clone())
        };
        match self.kind() {
            "array" => {
                let all = typed
                    .split(',')
                    .map(str::trim)
                    .filter(|one| !one.is_empty());
                Ok(Value::Array(all.map(chosen).collect::<Result<_, _>>()?))
            }
            _ if !options.is_empty() => chosen(typed),
            "boolean" => match typed.to_lowercase().as_str() {
                "y" | "yes" | "true" => Ok(json!(true)),
                "n" | "no" | "false" => Ok(json!(false)),
                _ => Err("y or n".to_owned()),
            },
            "integer" => typed
                .parse::<i64>()
                .map(Value::from)
                .map_err(|_| "a whole number".to_owned()),
            "number" => serde_json::from_str(typed)
                .ok()
                .filter(Value::is_number)
                .ok_or_else(|| "a number".to_owned()),
            _ => Ok(json!(typed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(properties: &Value, required: &Value) -> Option<Form> {
        let schema = json!({"type": "object", "properties": properties, "required": required});
        Form::of(&json!({"mode": "form", "requestedSchema": schema}))
    }

    #[test]
    fn each_kind_of_field_takes_what_fits_it_and_nothing_else() {
        let colours = json!({"type": "string", "enum": ["r", "b"], "enumNames": ["Red", "Blue"]});
        let sizes = json!({"type": "array", "items": {"anyOf": [{"const": 1, "title": "Small"}, {"const": 2, "title": "Large"}]}});
        for (schema, typed, value) in [
            (
                json!({"type": "string"}),
                "some words",
                Some(json!("some words")),
            ),
            (
                json!({"type": "string", "maxLength": 3}),
                "some words",
                None,
            ),
            (json!({"type": "boolean"}), "Y", Some(json!(true))),
            (json!({"type": "boolean"}), "maybe", None),
            (
                json!({"type": "integer", "minimum": 3}),
                "4",
                Some(json!(4)),
            ),
            (json!({"type": "integer", "minimum": 3}), "2", None),
            (json!({"type": "integer"}), "2.5", None),
            (json!({"type": "number"}), "2.5", Some(json!(2.5))),
            (json!({"type": "number"}), "\"2\"", None),
            (colours.clone(), "2", Some(json!("b"))),
            (colours.clone(), "Red", Some(json!("r"))),
            (colours.clone(), "0", None),
            (colours, "green", None),
            (sizes.clone(), "2, Small", Some(json!([2, 1]))),
            (sizes, "3", None),
        ] {
            let mut form = form(&json!({"field": schema}), &json!(["field"])).unwrap();
            let filled = form.fill(0, typed);
            let content = filled.and_then(|()| form.content()).ok();
            let value = value.map(|value| json!({"field": value}));
            assert_eq!(content, value, "{typed} in {schema}");
        }
    }

    #[test]
    fn only_what_is_not_required_can_be_left_out() {
        let fields = json!({"a": {"type": "string"}, "b": {"type": "string", "title": "Name"}});
        let mut form = form(&fields, &json!(["b"])).unwrap();
        assert_eq!(form.text(0), "asks: a (need not be answered)");
        assert_eq!(form.text(1), "asks: Name");
        assert_eq!(form.skip(0), Ok(()));
        assert!(form.skip(1).is_err() && form.content().is_err());
        form.fill(1, "x").unwrap();
        assert_eq!(form.content(), Ok(json!({"b": "x"})));
    }

    #[test]
    fn a_form_that_lines_cannot_fill_in_is_not_asked() {
        assert!(form(&json!({}), &json!([])).is_none());
        assert!(form(&json!({"a": {"type": "object"}}), &json!([])).is_none());
        assert!(form(&json!({"a": {"type": "array"}}), &json!([])).is_none());
        assert!(Form::of(&json!({"mode": "url", "url": "http://x"})).is_none());
    }
}

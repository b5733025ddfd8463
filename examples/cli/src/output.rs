//! What is printed: for people, or for programs.

use serde_json::Value;

/// How to print.
#[derive(Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints an answer: as it is, or as a text made of it.
    pub fn print(self, value: &Value, text: impl FnOnce(&Value) -> String) {
        match self.json {
            true => println!("{value}"),
            false => println!("{}", text(value)),
        }
    }

    /// Says what is going on, to people.
    pub fn progress(self, text: &str) {
        if !self.json {
            eprintln!("{text}");
        }
    }
}

/// Returns a field as text.
pub fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or("-")
}

/// Lines up the fields of a list.
pub fn table(list: &Value, names: &[&str]) -> String {
    let rows: Vec<Vec<&str>> = list
        .as_array()
        .map(|rows| rows.iter().map(|row| names.iter().map(|name| field(row, name)).collect()).collect())
        .unwrap_or_default();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    let line = |row: &Vec<&str>| {
        let padded = row.iter().zip(&widths).map(|(text, width)| format!("{text:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

//! The settings as a table of Markdown.

use super::setting::Setting;

/// Returns a row for each setting.
pub fn table() -> String {
    let rows: String = Setting::all().map(row).collect();
    format!("| key | flag | default | meaning |\n|---|---|---|---|\n{rows}")
}

fn row(setting: &Setting) -> String {
    let flag = setting.flag_name().map(|name| format!("`--{name}`")).unwrap_or_default();
    let meaning = setting.paragraphs().collect::<Vec<_>>().join(" ");
    let (section, key, default) = (setting.section, setting.key, (setting.default)());
    format!("| `{section}.{key}` | {flag} | {default} | {meaning} |\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_four_columns() {
        for line in table().lines() {
            assert_eq!(line.matches('|').count(), 5, "{line}");
        }
    }
}

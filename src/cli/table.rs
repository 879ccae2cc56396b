//! Tables of objects, as `kubectl get` prints them: the columns that their definitions name.

use jiff::Timestamp;
use manifest::Object;
use serde_json::Value;

use crate::api::schema;

/// Spaces between columns.
const GAP: usize = 3;

/// The columns of one kind.
pub(super) struct Columns {
    /// `plural.group`, as definitions are named.
    resource: String,
    kind: String,
    columns: Vec<Column>,
}

struct Column {
    title: String,
    path: String,
    is_date: bool,
}

impl Columns {
    /// The columns that the schema of `crds/` names for a kind of a group; `None` for a kind that is not there.
    pub(super) fn of(group: &str, kind: &str) -> Option<Self> {
        let suffix = format!(".{group}");
        let definitions = schema::ALL.iter().filter(|schema| schema.name.ends_with(&suffix));
        let definition = definitions.filter_map(|schema| yaml::from_str(schema.text).ok());
        let definition = definition.into_iter().find(|value| value["spec"]["names"]["kind"] == kind)?;
        let versions = definition["spec"]["versions"].as_array()?;
        let version = versions.iter().find(|version| version["storage"] == true)?;
        let columns = version["additionalPrinterColumns"].as_array().into_iter().flatten();
        let columns = columns.filter(|column| column["priority"].as_i64().unwrap_or(0) == 0).filter_map(Column::of);
        let singular = definition["spec"]["names"]["singular"].as_str()?;
        Some(Self { resource: format!("{singular}.{group}"), kind: kind.into(), columns: columns.collect() })
    }

    /// The objects of this kind as a table, with their namespaces, as of `now`. Empty when there is none.
    pub(super) fn table(&self, objects: &[Object], now: Timestamp) -> String {
        let objects = objects.iter().filter(|object| object.kind() == self.kind);
        let mut rows: Vec<Vec<String>> = objects.map(|object| self.row(object, now)).collect();
        if rows.is_empty() {
            return String::new();
        }
        rows.sort();
        let titles = self.columns.iter().map(|column| column.title.to_uppercase());
        rows.insert(0, ["NAMESPACE".to_owned(), "NAME".to_owned()].into_iter().chain(titles).collect());
        aligned(&rows)
    }

    fn row(&self, object: &Object, now: Timestamp) -> Vec<String> {
        let name = format!("{}/{}", self.resource, object.name());
        let cells = self.columns.iter().map(|column| column.cell(object.value(), now));
        [object.namespace().to_owned(), name].into_iter().chain(cells).collect()
    }
}

impl Column {
    fn of(value: &Value) -> Option<Self> {
        let text = |field: &str| value[field].as_str();
        Some(Self { title: text("name")?.into(), path: text("jsonPath")?.into(), is_date: text("type")? == "date" })
    }

    fn cell(&self, object: &Value, now: Timestamp) -> String {
        let text = match find(object, &self.path) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => return String::new(),
            Some(other) => other.to_string(),
        };
        if self.is_date {
            return text.parse().map_or_else(|_| "<invalid>".into(), |then| age(then, now));
        }
        match text.find(['\n', '\r', '\u{c}']) {
            Some(end) => format!("{}...", text.get(..end).unwrap_or_default()),
            None => text,
        }
    }
}

/// What a column's path leads to: fields, and the element of a list with a field of a given value, such as
/// `.status.conditions[?(@.type=="Ready")].status`. Columns use no more of JSONPath.
fn find<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    let Some(rest) = path.strip_prefix("[?(@.") else {
        let rest = path.strip_prefix('.').unwrap_or(path);
        if rest.is_empty() {
            return Some(value);
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (field, rest) = rest.split_at(end);
        return find(value.get(field)?, rest);
    };
    let (condition, rest) = rest.split_once(")]")?;
    let (field, wanted) = condition.split_once("==")?;
    let wanted = wanted.trim_matches(['"', '\'']);
    find(value.as_array()?.iter().find(|element| element[field] == wanted)?, rest)
}

/// A time span in few letters (apimachinery's `HumanDuration`).
fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - then.as_second();
    let (minutes, hours, days, years) = (seconds / 60, seconds / 3600, seconds / 86_400, seconds / 31_536_000);
    let two = |large: i64, letter: &str, small: i64, smaller: &str| match small {
        0 => format!("{large}{letter}"),
        _ => format!("{large}{letter}{small}{smaller}"),
    };
    match () {
        () if seconds < -1 => "<invalid>".into(),
        () if seconds < 120 => format!("{}s", seconds.max(0)),
        () if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        () if hours < 3 => format!("{minutes}m"),
        () if hours < 8 => two(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => two(days, "d", hours % 24, "h"),
        () if years < 2 => format!("{days}d"),
        () if years < 8 => two(years, "y", days % 365, "d"),
        () => format!("{years}y"),
    }
}

pub(super) fn aligned(rows: &[Vec<String>]) -> String {
    let count = rows.first().map_or(0, Vec::len);
    let longest = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..count).map(|column| longest(column).unwrap_or(0) + GAP).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:width$}"));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_has_the_columns_of_the_definition_and_ends_a_cell_with_its_line() {
        let object = json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": "apps", "namespace": "flux-system", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "status": {"conditions": [{"type": "Ready", "status": "False", "message": "held\nbecause"}]}});
        let columns = Columns::of("kustomize.toolkit.fluxcd.io", "Kustomization").unwrap();
        let table = columns.table(&[Object::new(object).unwrap()], "2026-01-01T00:03:20Z".parse().unwrap());
        let expected = "NAMESPACE     NAME                                             AGE     READY   STATUS\n\
                        flux-system   kustomization.kustomize.toolkit.fluxcd.io/apps   3m20s   False   held...\n";
        assert_eq!(table, expected);
    }

    #[test]
    fn ages_are_told_as_kubectl_tells_them() {
        let age = |seconds| age(Timestamp::UNIX_EPOCH, Timestamp::from_second(seconds).unwrap());
        let told = [0, 119, 120, 599, 600, 10_800, 28_800, 172_800, 691_200, 63_072_000].map(age);
        assert_eq!(told, ["0s", "119s", "2m", "9m59s", "10m", "3h", "8h", "2d", "8d", "2y"]);
    }
}

//! CEL as Flux's own package answers it: `tests/expressions` holds expressions and what fluxcd/pkg/runtime/cel 0.110.1 said
//! of them. After a change of the cases: in tests/testbed/expressions, `go run . ../../expressions/objects.json <
//! ../../expressions/cases.txt > ../../expressions/answers.txt`.

use lockstep::expression::{Expression, ExpressionError};
use serde_json::{Map, Value};

const CASES: &str = include_str!("expressions/cases.txt");
const ANSWERS: &str = include_str!("expressions/answers.txt");
const OBJECTS: &str = include_str!("expressions/objects.json");

/// Answers that differ, and why.
const DIFFERENCES: [(&str, &str); 5] = [
    ("metadata.labels[null] == 'x'", "cel-go refuses the type of a key before it evaluates"),
    ("spec[spec.names] == 1", "the same, with the name of a Go type"),
    ("nosuch(1, 2, 3)", "cel-go prints an argument where it means the function's name"),
    ("'%d'.format(['x']) == ''", "said when it is evaluated, not before"),
    ("'''line", "ANTLR takes the first two quotes for an empty text"),
];

#[test]
fn expressions_are_answered_as_by_flux() {
    let objects: Value = serde_json::from_str(OBJECTS).unwrap();
    let cases = CASES.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '));
    let answers = ANSWERS.lines().map(|line| serde_json::from_str::<String>(line).unwrap());
    let (mut ran, mut failed) = (0, Vec::new());
    for ((mode, text), wanted) in cases.zip(answers) {
        if DIFFERENCES.iter().any(|(different, _)| *different == text) {
            continue;
        }
        let found = answer(mode, text, objects[mode].as_object().unwrap());
        ran += 1;
        if comparable(&found) != comparable(&wanted) {
            failed.push(format!("{mode} {text}\n  wanted {wanted}\n  found  {found}"));
        }
    }
    assert!(failed.is_empty(), "{} of {ran} differ:\n{}", failed.len(), failed.join("\n"));
    assert!(ran > 700);
}

fn answer(mode: &str, text: &str, variables: &Map<String, Value>) -> String {
    let expression = match mode {
        "ready" => Expression::condition(text, &["self", "dep"]),
        _ => Expression::parse(text),
    };
    let result = expression.and_then(|expression| expression.holds(variables));
    result.map_or_else(|error| error.to_string(), |holds| holds.to_string())
}

/// Of what does not follow the grammar, only where that is seen first.
fn comparable(answer: &str) -> String {
    match answer.split_once(": Syntax error: ") {
        Some((place, _)) => place.to_owned(),
        None => answer.to_owned(),
    }
}

#[test]
fn what_is_endless_or_huge_is_refused() {
    let none = Map::new();
    let error = |text: &str| match Expression::parse(text).and_then(|expression| expression.holds(&none)) {
        Err(error) => error.to_string(),
        Ok(holds) => holds.to_string(),
    };
    let deep = format!("{}true{}", "(".repeat(10_000), ")".repeat(10_000));
    assert!(error(&deep).contains("recursion limit"));
    assert!(error(&format!("{}true", "!(".repeat(5_000))).contains("recursion limit"));
    assert!(error(&format!("a{}", ".b".repeat(20_000))).contains("recursion limit"));
    assert!(error(&"1 + ".repeat(30_000)).contains("size exceeds limit"));
    let doubled = "['x']".to_owned() + &".map(a, a + a)".repeat(60) + ".size() == 1";
    assert!(error(&doubled).contains("too large"));
    let ten = "[0,1,2,3,4,5,6,7,8,9]";
    let loops = format!("{ten}.all(a, {ten}.all(b, {ten}.all(c, {ten}.all(d, {ten}.all(e, {ten}.all(f, f < 10))))))");
    assert!(error(&loops).contains("cost limit exceeded"));
    assert!(error("'x'.replace('', 'y'.replace('', '%s'.format(['z']))) == ''").contains("false"));
}

#[test]
fn pieces_of_expressions_in_any_order_do_no_harm() {
    const PIECES: [&str; 40] = [
        "a", ".", "b", "(", ")", "[", "]", "{", "}", "?", ":", ",", "'x'", "b'\\xff'", "1", "2u", "1.5", "-", "!", "+",
        "*", "/", "%", "==", "<", "in", "&&", "||", "has", "map", "size", "optional", "of", "format", "'%d%.9f'",
        "duration", "null", "true", "\\", "é",
    ];
    let variables: Map<String, Value> = serde_json::from_str(r#"{"a": {"b": [1, "x", null]}}"#).unwrap();
    let mut seed = 1_u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    let mut understood = 0;
    for _ in 0..50_000 {
        let text: String = (0..1 + next() % 9).map(|_| PIECES[next() % PIECES.len()]).collect();
        let _ = Expression::condition(&text, &["a"]);
        match Expression::parse(&text).and_then(|expression| expression.holds(&variables)) {
            Err(ExpressionError::Parse { .. }) => {}
            _ => understood += 1,
        }
    }
    assert!(understood > 500, "{understood}");
}

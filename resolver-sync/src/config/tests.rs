//! What is refused, and in which words.

use super::*;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("agent.toml")).map_err(|error| error.to_string())
}

const FILE: &str = "[[source]]\nname = \"f\"\nkind = \"file\"\npath = \"/x\"\n";

#[test]
fn the_example_is_accepted() {
    let source = include_str!("../config.rs");
    let example: String = source
        .lines()
        .skip_while(|line| !line.contains("```toml"))
        .skip(1)
        .take_while(|line| !line.contains("```"))
        .map(|line| line.trim_start_matches("//!").to_owned() + "\n")
        .collect();
    let config = parse(&example).expect("the example");
    assert_eq!(config.sources.len(), 5);
    assert_eq!(config.views()[0].service, "order-management");
    assert_eq!(config.services_of("consul"), ["order-management"]);
}

#[test]
fn unknown_keys_are_refused_with_their_line() {
    let error = parse(&format!("{FILE}\n[sync]\ncores = 1\n")).expect_err("refused");
    assert!(error.contains("line 7") && error.contains("cores"), "{error}");
    let error = parse("[[source]]\nname = \"f\"\nkind = \"files\"\n").expect_err("refused");
    assert!(error.contains("line 3") && error.contains("consul"), "{error}");
}

#[test]
fn settings_of_another_kind_are_refused() {
    let error = parse(&format!("{FILE}prefix = \"/a/\"\n")).expect_err("refused");
    assert!(error.contains("source f") && error.contains("prefix"), "{error}");
}

#[test]
fn overlays_are_of_other_sources() {
    let dns = "[[source]]\nname = \"d\"\nkind = \"dns\"\nnames = { oms = \"oms.example\" }\n";
    let overlay = |sources: &str| {
        format!("{FILE}{dns}[[source]]\nname = \"o\"\nkind = \"overlay\"\nsources = {sources}\n")
    };
    let view = "[[view]]\nname = \"v\"\nservice = \"oms\"\nsource = \"o\"\n";
    let config = parse(&(overlay("[\"f\", \"d\"]") + view)).expect("good");
    assert_eq!(config.services_of("d"), ["oms"]);
    assert_eq!(config.services_of("f"), ["oms"]);
    for (sources, words) in [
        ("[\"f\"]", "two sources"),
        ("[\"f\", \"g\"]", "\"g\" over others, which there is not"),
        ("[\"f\", \"o\"]", "an overlay itself"),
        ("[\"f\", \"f\"]", "twice"),
        ("[\"f\", \"d\"]\nrule = \"last\"", "first"),
    ] {
        let error = parse(&overlay(sources)).expect_err(sources);
        assert!(error.contains(words), "{error}");
    }
    let error = parse(&format!("{dns}[[view]]\nname = \"v\"\nsource = \"d\"\n")).expect_err("no such name");
    assert!(error.contains("not among the services"), "{error}");
}

#[test]
fn names_and_references_are_checked() {
    for (more, words) in [
        (FILE.to_owned(), "there twice"),
        ("[[view]]\nname = \"v\"\nsource = \"g\"\n".into(), "which there is not"),
        ("[[view]]\nname = \"\"\nsource = \"f\"\n".into(), "empty"),
        ("[sync]\ncore = 1\nreader_cores = [1]\n".into(), "reader_cores"),
        ("[segment]\nservices = 0\n".into(), "at least 1"),
        ("[health]\nlisten = \"0.0.0.0:9600\"\n".into(), "not of this host alone"),
        ("[health]\nexposed = true\n".into(), "set listen"),
    ] {
        let error = parse(&format!("{FILE}{more}")).expect_err(&more);
        assert!(error.contains(words), "{error}");
    }
    assert!(parse("").expect_err("no source").contains("[[source]]"));
}

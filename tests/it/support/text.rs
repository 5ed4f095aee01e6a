//! Texts for people, made the same in every run.

/// A text for people, with names of runs, points in time and durations taken out.
pub(crate) fn steady_text(text: &str) -> String {
    let words = text.split(' ').collect::<Vec<_>>();
    let mut steady: Vec<String> = Vec::new();
    for word in words {
        let (line, end) = word
            .split_once('\n')
            .map_or((word, ""), |(line, _)| (line, &word[line.len()..]));
        let is_run = line.len() == 20 && line.split('-').map(str::len).eq([8, 6, 4]);
        let last = steady.last_mut();
        match (line.trim_end_matches([')', ':', ',']), last) {
            ("ms" | "s", Some(number)) if number.trim_start_matches('(').parse::<f64>().is_ok() => {
                let open = if number.starts_with('(') { "(" } else { "" };
                *number = format!(
                    "{open}TIME{}{end}",
                    &line[line.trim_end_matches([')', ':', ',']).len()..]
                );
            }
            _ if is_run => steady.push(format!("RUN{end}")),
            _ if line.ends_with('Z') && line.contains(':') => steady.push(format!("WHEN{end}")),
            _ => steady.push(word.to_owned()),
        }
    }
    steady.join(" ")
}

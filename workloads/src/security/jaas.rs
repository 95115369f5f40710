//! The value of `sasl.jaas.config`: the module that logs in, and its options.

/// Modules that only hold a name and a password, with the mechanisms that each is for.
const MODULES: [(&str, &str); 2] = [
    ("org.apache.kafka.common.security.plain.PlainLoginModule", "PLAIN"),
    ("org.apache.kafka.common.security.scram.ScramLoginModule", "SCRAM-SHA-"),
];

/// Name and password.
#[derive(PartialEq, Eq)]
pub(super) struct JaasLogin {
    /// What the mechanisms begin with that the module is for.
    pub(super) mechanism: &'static str,
    pub(super) username: String,
    pub(super) password: String,
}

/// Reads `MODULE required username="..." password="...";`. What is wrong is said without the value.
pub(super) fn parse(text: &str) -> Result<JaasLogin, String> {
    let words = words(text)?;
    let mut words = words.iter().map(String::as_str);
    let module = words.next().unwrap_or_default();
    let known = MODULES.iter().find(|(name, _)| *name == module);
    let (_, mechanism) = known.ok_or_else(|| {
        let all = MODULES.map(|(name, _)| name).join(" or ");
        format!("its module must be {all}: others are code that only Java loads")
    })?;
    let flag = words.next().unwrap_or_default().to_ascii_lowercase();
    if !["required", "requisite", "sufficient", "optional"].contains(&flag.as_str()) {
        return Err("`required` is to follow the module".to_owned());
    }
    let (mut username, mut password) = (None, None);
    while let Some(word) = words.next() {
        if word == ";" {
            if words.next().is_some() {
                return Err("one module is read, and something follows its `;`".to_owned());
            }
            let missing = |option| format!("the option `{option}` is missing");
            return Ok(JaasLogin {
                mechanism,
                username: username.ok_or_else(|| missing("username"))?,
                password: password.ok_or_else(|| missing("password"))?,
            });
        }
        let (Some("="), Some(value)) = (words.next(), words.next()) else {
            return Err("its options are to be NAME=\"VALUE\"".to_owned());
        };
        match word {
            "username" => username = Some(value.to_owned()),
            "password" => password = Some(value.to_owned()),
            "tokenauth" => {
                return Err(
                    "delegation tokens (`tokenauth`) are not spoken; name a user".to_owned()
                );
            }
            // What a broker lets in, in its own file.
            name if name.starts_with("user_") => {}
            name => return Err(format!("the option `{name}` is not known")),
        }
    }
    Err("it is to end in `;`".to_owned())
}

/// Words, quoted texts without their quotes, `=` and `;`.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = vec![];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '=' | ';' => words.push(c.to_string()),
            '"' | '\'' => {
                let mut word = String::new();
                loop {
                    match chars.next() {
                        None => return Err(format!("a {c} is not closed")),
                        Some(end) if end == c => break,
                        Some('\\') => word.extend(chars.next()),
                        Some(other) => word.push(other),
                    }
                }
                words.push(word);
            }
            c => {
                let mut word = c.to_string();
                let goes_on = |c: &char| !c.is_whitespace() && !"=;\"'".contains(*c);
                while let Some(more) = chars.next_if(goes_on) {
                    word.push(more);
                }
                words.push(word);
            }
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule";
    const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";

    #[test]
    fn name_and_password_are_found_however_they_are_written() {
        for (text, mechanism, username, password) in [
            (format!("{SCRAM} required username=\"a\" password=\"b\";"), "SCRAM-SHA-", "a", "b"),
            (
                format!("{PLAIN} required\n username='a'\n password='b;= c' ;"),
                "PLAIN",
                "a",
                "b;= c",
            ),
            (format!("{PLAIN} REQUIRED password=b username=a;"), "PLAIN", "a", "b"),
            (format!("{PLAIN} required username=a password=\"q\\\"\\\\\";"), "PLAIN", "a", "q\"\\"),
            (format!("{PLAIN} required username=a password=\"\" user_x=\"y\";"), "PLAIN", "a", ""),
        ] {
            let Ok(login) = parse(&text) else { panic!("{text}") };
            assert_eq!(
                (login.mechanism, &*login.username, &*login.password),
                (mechanism, username, password)
            );
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (text, words) in [
            (
                "com.evil.Module required username=\"a\" password=\"hunter2\";".to_owned(),
                "only Java loads",
            ),
            (String::new(), "only Java loads"),
            (format!("{SCRAM} username=\"a\" password=\"hunter2\";"), "`required`"),
            (format!("{SCRAM} required username=\"a\" password=\"hunter2\""), "end in `;`"),
            (format!("{SCRAM} required password=\"hunter2\";"), "`username` is missing"),
            (format!("{SCRAM} required username=\"hunter2\";"), "`password` is missing"),
            (format!("{SCRAM} required username \"hunter2\";"), "NAME=\"VALUE\""),
            (
                format!("{SCRAM} required username=\"a\" password=\"hunter2\" tokenauth=true;"),
                "tokens",
            ),
            (format!("{SCRAM} required username=\"a\" password=\"hunter2;"), "not closed"),
            (format!("{SCRAM} required username=\"a\" password=\"hunter2\"; more"), "follows its"),
            (
                format!("{SCRAM} required usernam=\"a\" password=\"hunter2\";"),
                "`usernam` is not known",
            ),
        ] {
            let Err(told) = parse(&text) else { panic!("{text}") };
            assert!(told.contains(words) && !told.contains("hunter2"), "{told}");
        }
    }
}

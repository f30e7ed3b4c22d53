//! The page as the demo shows it: built for a short wait rather than a small download, without Trunk.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::shell::{cargo, repository, succeed};
use crate::{finish, serve, tools};

const PORT: u16 = 8080;
/// How a line of `index.html` begins that says what to build or copy.
const ASSET: &str = "<link data-trunk ";

/// Builds the page, serves it and opens it.
pub fn run(options: &[String]) -> Result<()> {
    let (port, open) = parse(options)?;
    let server = serve::bind(port)?;
    eprintln!("building the page: some minutes the first time");
    let site = repository().join("target/demo-site");
    build(&site)?;
    serve::run(server, &site, open)
}

fn parse(options: &[String]) -> Result<(u16, bool)> {
    let (mut port, mut open) = (PORT, true);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let (name, value) = option.split_once('=').map_or((option.as_str(), None), |(name, value)| (name, Some(value)));
        match (name, value) {
            ("--no-open", None) => open = false,
            ("--port", value) => {
                let value = value.or_else(|| options.next().map(String::as_str)).unwrap_or_default();
                port = value.parse().with_context(|| format!("--port takes a number up to 65535, not `{value}`"))?;
            }
            _ => bail!("`{option}` is not an option of the demo: it takes --port NUMBER and --no-open"),
        }
    }
    Ok((port, open))
}

fn build(site: &Path) -> Result<()> {
    tools::wasm_target()?;
    // Both programs at once: they share nearly all that is compiled.
    let web = ["build", "--package", "web", "--bins", "--target", tools::WASM_TARGET];
    let target = repository().join("target");
    succeed(cargo().args(web).args(["--profile", "demo", "--locked", "--target-dir"]).arg(&target))?;
    let _ = fs::remove_dir_all(site);
    fs::create_dir_all(site).with_context(|| format!("cannot make {}", site.display()))?;
    let built = target.join(tools::WASM_TARGET).join("demo");
    tools::bindgen(&["page", "worker"].map(|name| built.join(name).with_extension("wasm")), site)?;
    let index = repository().join("index.html");
    let html = fs::read_to_string(&index).with_context(|| format!("cannot read {}", index.display()))?;
    let html = assemble(&html, &repository(), site).with_context(|| format!("cannot build {}", index.display()))?;
    fs::write(site.join("index.html"), html).with_context(|| format!("cannot write to {}", site.display()))?;
    finish::site(&repository(), site)
}

/// Copies what the page's `data-trunk` lines name, and returns the page with links to the copies.
fn assemble(html: &str, repository: &Path, site: &Path) -> Result<String> {
    let mut lines = Vec::new();
    for line in html.lines() {
        let Some(asset) = line.trim().strip_prefix(ASSET) else {
            lines.push(line.to_owned());
            continue;
        };
        let attribute = |name| attribute(asset, name).with_context(|| format!("`{}` has no {name}", line.trim()));
        let path = repository.join(attribute("href")?);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match attribute("rel")? {
            "css" => {
                copy(&path, &site.join(&name))?;
                lines.push(format!("<link rel=\"stylesheet\" href=\"{name}\" />"));
            }
            "copy-file" | "copy-dir" => copy(&path, &site.join(name))?,
            "rust" => {
                let program = attribute("data-bin")?;
                let start = format!("import init from \"./{program}.js\"; await init();");
                if attribute("data-type")? == "main" {
                    lines.push(format!("<script type=\"module\">{start}</script>"));
                } else {
                    fs::write(site.join(format!("{program}_loader.js")), start)?;
                }
            }
            other => bail!("the demo cannot build assets of the kind `{other}`"),
        }
    }
    Ok(lines.join("\n"))
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = tag.split_once(&format!("{name}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

/// Copies a file, or a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(drop).with_context(|| format!("cannot copy {}", from.display()));
    }
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_or_refused_by_name() {
        let parse = |line: &str| parse(&line.split_whitespace().map(Into::into).collect::<Vec<_>>());
        assert_eq!(parse("").ok(), Some((PORT, true)));
        assert_eq!(parse("--port 9000 --no-open").ok(), Some((9000, false)));
        assert_eq!(parse("--port=9000").ok(), Some((9000, true)));
        for (line, named) in [("--port", "--port"), ("--port 70000", "70000"), ("--watch", "--watch")] {
            assert!(parse(line).is_err_and(|error| error.to_string().contains(named)), "{line}");
        }
    }

    #[test]
    fn the_page_is_put_together_as_its_lines_ask() {
        let site = repository().join("target/demo-site-test");
        let _ = fs::remove_dir_all(&site);
        fs::create_dir_all(&site).expect("a folder");
        let html = fs::read_to_string(repository().join("index.html")).expect("the page");
        let html = assemble(&html, &repository(), &site).expect("a page");
        assert!(!html.contains("data-trunk"), "{html}");
        assert!(html.contains("href=\"style.css\"") && html.contains("import init from \"./page.js\""), "{html}");
        for file in ["style.css", "manifest.webmanifest", "icons/icon.svg", "weights/manifest.json", "worker_loader.js"]
        {
            assert!(site.join(file).exists(), "{file}");
        }
        let unknown = assemble("<link data-trunk rel=\"sass\" href=\"x\" />", &repository(), &site);
        assert!(unknown.is_err_and(|error| error.to_string().contains("`sass`")));
        let nothing = assemble("<link data-trunk rel=\"css\" />", &repository(), &site);
        assert!(nothing.is_err_and(|error| error.to_string().contains("href")));
    }
}

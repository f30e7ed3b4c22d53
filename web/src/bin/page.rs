//! The page: user interface only, so that it is small and up at once.

fn main() {
    web::run_page();
}

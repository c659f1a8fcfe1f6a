//! The migrations are embedded at compile time. Without this, cargo does not detect a new one.

fn main() {
    println!("cargo::rerun-if-changed=../../migrations");
}

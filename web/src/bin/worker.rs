//! The worker: owns the model and the GPU.

fn main() {
    web::run_worker();
}

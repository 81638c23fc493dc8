//! What the service does.

pub mod qr_image;

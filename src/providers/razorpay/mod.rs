//! Razorpay.

//! Recovery figures against what is known of drawn trials.

mod oracle;

"""What other libraries load of glmclient. Each module needs its own library; nothing else imports it."""

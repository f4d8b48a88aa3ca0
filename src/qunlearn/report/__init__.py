"""What people look at: tables, figures, pages and model cards."""

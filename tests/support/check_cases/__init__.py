"""What makes each check pass, and what makes it fail: tables that contract and end-to-end tests walk."""

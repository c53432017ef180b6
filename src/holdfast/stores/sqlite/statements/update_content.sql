UPDATE job SET type = ?, content_type = ?, payload = ? WHERE id = ?

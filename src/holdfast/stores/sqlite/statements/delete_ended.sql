DELETE FROM ended WHERE job = ? AND (state = ? OR state NOT IN ('concluded', 'dead', 'cancelled'))

SELECT q.name, i.match FROM interest i JOIN queue q ON q.id = i.queue ORDER BY q.name

SELECT queue FROM inbox WHERE job = $1

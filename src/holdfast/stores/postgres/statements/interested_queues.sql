SELECT queue FROM interest

// Logs COUNT lines through winston-loki, waits until the server is ready, sends what is left:
// URL COUNT json|protobuf [USER:PASSWORD]
const winston = require('winston')
const LokiTransport = require('winston-loki')

const [url, count, form, basicAuth] = process.argv.slice(2)
const transport = new LokiTransport({
  host: url,
  json: form === 'json',
  basicAuth,
  labels: { job: 'edge', form },
  interval: 0.02,
  timeout: 30000,
  gracefulShutdown: false,
  onConnectionError: error => console.log(String(error))
})
const logger = winston.createLogger({ transports: [transport] })
const pause = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds))

async function ready () {
  try {
    return (await fetch(url + '/ready')).ok
  } catch (error) {
    return false
  }
}

async function main () {
  for (let number = 0; number < Number(count); number++) {
    logger.info(`line ${number} ä ${number % 10 ? '' : '\ud83d'}`)
    if (number % 25 === 24) await pause(5)
  }
  console.log('logged')
  while (!await ready()) await pause(100)
  await transport.close()
  process.exit(0)
}

main()

// Sends COUNT log records to URL as OTLP in JSON, a few at a time: URL COUNT [TOKEN]
const { BatchLogRecordProcessor, LoggerProvider } = require('@opentelemetry/sdk-logs')
const { OTLPLogExporter } = require('@opentelemetry/exporter-logs-otlp-http')

const [url, count, token] = process.argv.slice(2)
const exporter = new OTLPLogExporter({
  url,
  headers: token ? { Authorization: `Bearer ${token}` } : {},
  timeoutMillis: 60000
})
const processor = new BatchLogRecordProcessor({
  exporter,
  scheduledDelayMillis: 20,
  maxExportBatchSize: 50,
  maxQueueSize: 1000000,
  exportTimeoutMillis: 60000
})
const provider = new LoggerProvider({ processors: [processor] })
const logger = provider.getLogger('edge', '1.0')

async function main () {
  for (let number = 0; number < Number(count); number++) {
    logger.emit({
      severityText: 'INFO',
      body: `record ${number} ä ${number % 10 ? '' : '\ud83d'}`,
      attributes: { number, 'http.request.method': 'GET' }
    })
    if (number % 25 === 24) await new Promise(resolve => setTimeout(resolve, 5))
  }
  await provider.shutdown()
}

main()

// Where is the publisher, and did it work?
const { CARILLON_PUBLISHER, CARILLON_API_KEY, CARILLON_TENANT, CARILLON_UNIQUE } = process.env as Record<string, string>

export const url = CARILLON_PUBLISHER
export const key = CARILLON_API_KEY
export const tenant = CARILLON_TENANT
/** Names this run's events. */
export const unique = CARILLON_UNIQUE

/** Prints `ok NAME` when the body gives a true value, else what it gave. */
export async function check(name: string, body: () => Promise<unknown>) {
  try {
    const result = await body()
    const held = result === true || (typeof result === 'number' && result > 0)
    console.log(held ? `ok ${name}` : `FAIL ${name}: ${JSON.stringify(result)}`)
  } catch (error) {
    console.log(`FAIL ${name}: ${error}`)
  }
}

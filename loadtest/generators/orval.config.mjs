// What is orval to make? Its fetch client has the address written in.
export default {
  carillon: {
    input: { target: './openapi.json' },
    output: { target: './orval/client.ts', client: 'fetch', baseUrl: process.env.CARILLON_PUBLISHER },
  },
}
